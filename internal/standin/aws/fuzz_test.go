package aws

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/hopwise/hopwise/internal/world"
)

// Whatever comes in, what goes out is a document of the protocol that the
// request speaks.
func FuzzServe(f *testing.F) {
	const form = "application/x-www-form-urlencoded"
	for _, seed := range []struct{ method, path, auth, kind, body string }{
		{"POST", "/", "", form, "Action=DescribeSubnets&Version=2016-11-15"},
		{"POST", "/", scopeHeader("ec2"), form, "Action=DescribeSubnets&Filter.1.Name=tag:a&Filter.1.Value.1=*&MaxResults=5"},
		{"POST", "/", scopeHeader("ec2"), form, "Action=AuthorizeSecurityGroupIngress&GroupId=sg-1&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=1&IpPermissions.1.ToPort=2&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8&IpPermissions.1.Groups.1.GroupId=sg-2"},
		{"POST", "/", scopeHeader("ec2"), form, "Action=CreateNetworkAclEntry&NetworkAclId=acl-1&RuleNumber=1&Egress=true&Protocol=6&RuleAction=allow&CidrBlock=0.0.0.0/0&PortRange.From=1&PortRange.To=2"},
		{"POST", "/", scopeHeader("ec2"), form, "Action=CreateSubnet&VpcId=vpc-1&CidrBlock=10.0.9.0/24&TagSpecification.1.ResourceType=subnet&TagSpecification.1.Tag.1.Key=a"},
		{"POST", "/", scopeHeader("ec2"), form, "Action=AssociateVpcCidrBlock&VpcId=vpc-1&CidrBlock=100.64.0.0/16&DryRun=maybe"},
		{"POST", "/", scopeHeader("ec2"), form, "Action=ReplaceRouteTableAssociation&AssociationId=rtbassoc-1&RouteTableId=rtb-1"},
		{"POST", "/", scopeHeader("ec2"), form, "Action=DescribeTags&.1=x&NextToken=AAAA"},
		{"POST", "/", scopeHeader("ec2"), form, "Action=CreateTags&ResourceId.1=subnet-1&Tag.1.Key=%00&Tag.1.Value=%ff"},
		{"GET", "/?Action=GetCallerIdentity&Version=2011-06-15", "", "", ""},
		{"POST", "/", scopeHeader("elasticloadbalancing"), form, "Action=ModifyTargetGroup&TargetGroupArn=" + webARN + "&HealthCheckPath=x&Matcher.HttpCode=200"},
		{"GET", "/clusters/shop/addons/coredns", scopeHeader("eks"), "", ""},
		{"GET", "/clusters/%2e%2e/%zz", "", "", ""},
		{"DELETE", "/clusters/shop", scopeHeader("eks"), "", ""},
		{"GET", "/2013-04-01/hostedzone/Z1/rrset?maxitems=1&name=a&type=A", scopeHeader("route53"), "", ""},
		{"GET", "/2013-04-01/hostedzonesbyvpc?vpcid=vpc-1&vpcregion=eu-west-1", "", "", ""},
		{"POST", "/", scopeHeader("s3"), "text/plain", "<xml/>"},
	} {
		f.Add(seed.method, seed.path, seed.auth, seed.kind, seed.body, "", false)
		f.Add(seed.method, seed.path, seed.auth, seed.kind, seed.body, "", true)
	}
	for _, seed := range []struct{ target, body string }{
		{"Route53Resolver.ListResolverRuleAssociations", `{"Filters":[{"Name":"VPCId","Values":["vpc-1"]}],"MaxResults":1}`},
		{"Route53Resolver.ListFirewallRules", `{"FirewallRuleGroupId":"rslvr-frg-1","Priority":10}`},
		{"Route53Resolver.ListResolverRules", `{"Filters":{"Name":[[[]]]},"NextToken":null}`},
		{"Route53Resolver.", `[1]`},
		{"ServiceQuotasV20190624.GetServiceQuota", `{"ServiceCode":"vpc","QuotaCode":"L-0EA8095F"}`},
		{"ServiceQuotasV20190624.GetServiceQuota", `{`},
	} {
		f.Add("POST", "/", "", "application/x-amz-json-1.1", seed.body, seed.target, false)
		f.Add("POST", "/", scopeHeader("route53resolver"), "application/x-amz-json-1.1", seed.body, seed.target, true)
	}
	f.Fuzz(func(t *testing.T, method, path, auth, kind, body, target string, signed bool) {
		u, err := url.ParseRequestURI(path)
		if err != nil || !strings.HasPrefix(path, "/") {
			t.Skip()
		}
		r := (&http.Request{Method: method, URL: u, Host: "localhost", Header: http.Header{"Authorization": {auth}, "Content-Type": {kind}, "X-Amz-Target": {target}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}).WithContext(t.Context())
		w, err := world.Parse("fuzz", []byte(base))
		if err != nil {
			t.Fatal(err)
		}
		opts := Options{}
		if signed {
			opts = Options{AccessKeyID: testKey, SecretAccessKey: testSecret}
		}
		rec := httptest.NewRecorder()
		New(w, opts).ServeHTTP(rec, r)
		if signed && rec.Code == http.StatusOK {
			t.Errorf("an answer to a forged signature: %s", rec.Body)
		}
		checkDocument(t, rec)
	})
}

// scopeHeader is an Authorization header that tells a service and proves
// nothing.
func scopeHeader(service string) string {
	return algorithm + " Credential=" + testKey + "/20260101/eu-west-1/" + service + "/aws4_request, SignedHeaders=host;x-amz-date, Signature=00"
}

func checkDocument(t *testing.T, rec *httptest.ResponseRecorder) {
	t.Helper()
	kind := rec.Header().Get("Content-Type")
	if kind == "application/json" || kind == "application/x-amz-json-1.1" {
		var doc map[string]any
		if err := json.Unmarshal(rec.Body.Bytes(), &doc); err != nil {
			t.Errorf("status %d: %v: %s", rec.Code, err, rec.Body)
		}
		rest := doc["message"] != nil && rec.Header().Get("x-amzn-ErrorType") != ""
		if rpc := doc["Message"] != nil && doc["__type"] != nil; rec.Code != http.StatusOK && !rest && !rpc {
			t.Errorf("an error without its type or message: %s", rec.Body)
		}
		return
	}
	dec, code := xml.NewDecoder(rec.Body), false
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("status %d: %v", rec.Code, err)
		}
		if el, ok := tok.(xml.StartElement); ok {
			code = code || el.Name.Local == "Code"
		}
	}
	if rec.Code != http.StatusOK && !code {
		t.Errorf("status %d without an error code", rec.Code)
	}
}

func TestTooLong(t *testing.T) {
	l := start(t, base, Options{})
	res, err := http.Post(l.url, "application/x-www-form-urlencoded", strings.NewReader("Action=DescribeSubnets&a="+strings.Repeat("x", maxBody)))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %s", res.Status)
	}
}

// A request without a signature, and one with half of one, say so in each
// protocol.
func TestUnsigned(t *testing.T) {
	l := start(t, base, Options{})
	for _, tt := range []struct{ path, auth, want string }{
		{"/?Action=DescribeSubnets&Version=2016-11-15", "", "<Code>MissingAuthenticationToken</Code>"},
		{"/?Action=GetCallerIdentity&Version=2011-06-15", "", "<Code>MissingAuthenticationToken</Code>"},
		{"/2013-04-01/hostedzone", "", "<Code>MissingAuthenticationToken</Code>"},
		{"/clusters/shop", "", "Request is missing Authentication Token"},
		{"/?Action=DescribeSubnets", algorithm + " Credential=a/20260101/eu-west-1/ec2/aws4_request", "<Code>IncompleteSignature</Code>"},
		{"/clusters/shop", algorithm + " SignedHeaders=host, Signature=00", "requires &#39;Credential&#39;"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.url+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if tt.auth != "" {
			req.Header.Set("Authorization", tt.auth)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		got := strings.ReplaceAll(string(body), "'", "&#39;")
		if !strings.Contains(got, tt.want) || res.StatusCode < 400 {
			t.Errorf("%s: %s %s, want %s", tt.path, res.Status, body, tt.want)
		}
	}
}
