package dns

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
)

// The parts of a variant of base-externaldns.

const shopALB = "k8s-shop-shop-4c1d7ab3e2-1203455678.eu-west-1.elb.amazonaws.com"

var usualArgs = []string{"--source=service", "--source=ingress", "--policy=sync", "--registry=txt", "--txt-owner-id=shop", "--domain-filter=example.com", "--provider=aws"}

// started is external-dns with an image tag, its usual arguments but for some
// flags, and others in their place.
func started(tag string, without []string, with ...string) string {
	var args []string
	for _, a := range usualArgs {
		name, _, _ := strings.Cut(a, "=")
		if !strings.Contains(" "+strings.Join(without, " ")+" ", " "+name+" ") {
			args = append(args, a)
		}
	}
	args = append(args, with...)
	return fmt.Sprintf(`-- kube/deployments.yaml --
items:
- metadata: {name: external-dns, namespace: external-dns}
  spec: {template: {spec: {containers: [{name: external-dns, image: "registry.k8s.io/external-dns/external-dns:%s", args: ["%s"]}]}}}
`, tag, strings.Join(args, `", "`))
}

// ingress is the shop's Ingress with hosts, and more of it.
func ingress(metadata string, hosts ...string) string {
	s := "-- kube/ingresses.yaml --\nitems:\n- metadata: {name: shop, namespace: shop" + metadata + "}\n  spec:\n    rules:\n"
	for _, h := range hosts {
		s += "    - {host: " + h + ", http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}]}}\n"
	}
	return s
}

// inZone are the records of the public zone besides that of shop.example.com.
func inZone(more ...string) string {
	return "-- route53/record-sets.json --\nRecordSets:\n- HostedZoneId: Z0123456SHOPPUBLIC01\n  ResourceRecordSets:\n" +
		owned("shop.example.com", "shop", "ingress/shop/shop", shopALB) + strings.Join(more, "")
}

// inBoth are the records of the public zone and of its private twin.
func inBoth(more string) string {
	public := inZone(more)
	return public + strings.Replace(strings.TrimPrefix(public, "-- route53/record-sets.json --\nRecordSets:\n"), "SHOPPUBLIC01", "SHOPPRIVEX1", 1)
}

func owned(host, owner, resource, to string) string {
	return fmt.Sprintf("  - {Name: a-%s., Type: TXT, TTL: 300, ResourceRecords: [{Value: '\"heritage=external-dns,external-dns/owner=%s,external-dns/resource=%s\"'}]}\n", host, owner, resource) + byHand(host, to)
}

func byHand(host, to string) string {
	return fmt.Sprintf("  - {Name: %s., Type: A, AliasTarget: {HostedZoneId: Z32O12XQLNTSW2, DNSName: %s., EvaluateTargetHealth: true}}\n", host, to)
}

func logged(lines ...string) string {
	return "-- kube/pod-logs.yaml --\nitems:\n- metadata: {name: external-dns-6c4f8d7b95-kd2lp, namespace: external-dns}\n  container: external-dns\n  text: |\n    " + strings.Join(lines, "\n    ") + "\n"
}

func at(clock, level, msg string) string {
	return fmt.Sprintf("2026-01-15T%s.2Z time=%q level=%s msg=%q", clock, "2026-01-15T"+clock+"Z", level, msg)
}

const (
	extDeployment = " kube/deployments/external-dns/external-dns"
	otherALB      = "k8s-old-old-0123456789-123456789.eu-west-1.elb.amazonaws.com"
	nodeDenied    = "Failed to do run once: soft error\nrecords retrieval failed: failed to list hosted zones: api error AccessDenied: User: arn:aws:sts::111122223333:assumed-role/core-node/i-0c1000000000000a1 is not authorized to perform: route53:ListHostedZones"
	upToDate      = "All records are already up to date"
	rateExceeded  = "Failed to do run once: soft error\nrecords retrieval failed: failed to list hosted zones: Throttling: Rate exceeded"
	alpha         = ", annotations: {external-dns.alpha.kubernetes.io/hostname: app.example.com}"
	privateTwin   = `-- route53/hosted-zones.json --
HostedZones:
- {Id: /hostedzone/Z0123456SHOPPRIVEX1, Name: example.com., Config: {PrivateZone: true}, VPCs: [{VPCId: vpc-0a1b2c3d4e5f60001, VPCRegion: eu-west-1}]}
`
)

func TestExternalDNSVariants(t *testing.T) {
	app := facts.Target{Kind: "host", Host: "app.example.com"}
	two := ingress("", "shop.example.com", "app.example.com")
	noLogs := "-- kube/pod-logs.yaml --\nitems:\n- {$patch: delete, metadata: {name: external-dns-6c4f8d7b95-kd2lp, namespace: external-dns}, container: external-dns}\n"
	for _, x := range []variant{
		{name: "as it is"},
		{name: "a record is late, and nothing tells why", overlay: two},

		// not running
		{name: "scaled to 0 and nothing waits", overlay: "-- kube/deployments.yaml --\nitems:\n- {metadata: {name: external-dns, namespace: external-dns}, spec: {replicas: 0}}\n"},
		{name: "scaled to 0 and a zone was not read", overlay: "-- kube/deployments.yaml --\nitems:\n- {metadata: {name: external-dns, namespace: external-dns}, spec: {replicas: 0}}\n" + two +
			"-- route53/record-sets.json --\nRecordSets:\n- {HostedZoneId: Z0123456SHOPPUBLIC01, Partial: true}\n"},
		{name: "dry-run on purpose", overlay: started("v0.19.0", nil, "--dry-run")},
		{name: "dry-run and a host waits", overlay: started("v0.19.0", nil, "--dry-run") + two, want: []string{"dns/externaldns-not-running" + extDeployment}, claim: "--dry-run"},
		{name: "no dry-run after all", overlay: started("v0.19.0", nil, "--dry-run", "--no-dry-run") + two},
		{name: "one failed sync", overlay: logged(at("08:58:12", "error", "Failed to do run once: soft error\nsomething"))},
		{name: "failing syncs of no known kind", overlay: two + logged(at("08:57:12", "error", "Failed to do run once: x"), at("08:58:12", "error", "Failed to do run once: x"), at("08:59:12", "error", "Failed to do run once: proxyconnect tcp: i/o timeout")),
			want: []string{"dns/externaldns-not-running" + extDeployment}, claim: "proxyconnect tcp: i/o timeout; app.example.com has no record"},

		// refusals
		{name: "the node's role", overlay: logged(at("08:59:12", "error", nodeDenied)), want: []string{"dns/externaldns-iam-denied" + extDeployment}, claim: "no credentials of its own and asks as the node's role core-node"},
		{name: "in JSON", overlay: logged(`2026-01-15T08:59:12Z {"level":"error","msg":"operation error STS: AssumeRoleWithWebIdentity, api error AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity","time":"2026-01-15T08:59:12Z"}`),
			want: []string{"dns/externaldns-iam-denied" + extDeployment}, claim: "does not trust service account external-dns/external-dns"},
		{name: "another provider's refusal", overlay: started("v0.19.0", []string{"--provider"}, "--provider=azure") + logged(at("08:59:12", "error", "AccessDenied"))},
		{name: "refused, then allowed", overlay: logged(at("08:57:12", "error", nodeDenied), at("08:59:12", "info", upToDate))},
		{name: "refused yesterday", overlay: logged(at("02:57:12", "error", nodeDenied))},
		{name: "throttled once", overlay: logged(at("08:58:12", "error", rateExceeded))},
		{name: "throttled, then not", overlay: logged(at("08:56:12", "error", rateExceeded), at("08:57:12", "error", rateExceeded), at("08:58:12", "error", rateExceeded), at("08:59:12", "info", upToDate))},
		{name: "a batch that may not be written", overlay: logged(at("08:59:12", "error", "Failure in zone example.com. when submitting change batch: AccessDenied: User: arn:aws:sts::111122223333:assumed-role/shop-external-dns/1 is not authorized to perform: route53:ChangeResourceRecordSets")),
			want: []string{"dns/externaldns-iam-denied" + extDeployment}, claim: "its role shop-external-dns is not allowed route53:ChangeResourceRecordSets"},
		{name: "CNAME at the apex", overlay: logged(at("08:59:12", "error", "Failure in zone example.com. when submitting change batch: InvalidChangeBatch: [RRSet of type CNAME with DNS name example.com. is not permitted at apex in zone example.com.]")),
			want: []string{"dns/externaldns-change-batch-rejected" + extDeployment}, claim: "not permitted at apex"},

		// zones
		{name: "no filter and a domain of another provider", overlay: started("v0.19.0", []string{"--domain-filter"}) + ingress("", "shop.example.com", "app.example.org")},
		{name: "the same, asked", overlay: started("v0.19.0", []string{"--domain-filter"}) + ingress("", "shop.example.com", "app.example.org"), target: facts.Target{Host: "app.example.org"},
			want: []string{"dns/externaldns-no-matching-zone" + extDeployment}, claim: "the account has none whose name is the end of app.example.org"},
		{name: "zones of another account", overlay: started("v0.19.0", []string{"--domain-filter"}, "--aws-assume-role=arn:aws:iam::999900001111:role/dns") + ingress("", "shop.example.com", "app.example.org"), target: facts.Target{Host: "app.example.org"}},
		{name: "only private zones", overlay: started("v0.19.0", nil, "--aws-zone-type=private") + two, want: []string{"dns/externaldns-no-matching-zone" + extDeployment}, claim: "--aws-zone-type=private leaves out public zone example.com"},
		{name: "a second instance has the zone", overlay: started("v0.19.0", nil, "--aws-zone-type=private") + `- metadata: {name: external-dns-public, namespace: external-dns}
  spec: {selector: {matchLabels: {app: external-dns-public}}, template: {metadata: {labels: {app: external-dns-public}}, spec: {containers: [{name: x, image: "bitnami/external-dns:0.15.0", args: [--source, ingress, --provider, aws, --txt-owner-id, two]}]}}}
  status: {availableReplicas: 1}
` + two},
		{name: "the parent's zone on purpose", overlay: started("v0.19.0", []string{"--domain-filter"}, "--domain-filter=dev.example.com", "--aws-zone-match-parent") + ingress("", "shop.example.com", "app.dev.example.com")},
		{name: "another zone id", overlay: started("v0.19.0", nil, "--zone-id-filter=Z9") + two, want: []string{"dns/externaldns-no-matching-zone" + extDeployment}, claim: "--zone-id-filter=Z9"},
		{name: "zone tags cannot be seen", overlay: started("v0.19.0", []string{"--domain-filter"}, "--aws-zone-tags=team=shop", "--domain-filter=dev.example.com") + two},

		// owners
		{name: "another owner, the right target", overlay: inZone(owned("app.example.com", "other", "ingress/shop/shop", shopALB)) + two},
		{name: "made by hand, nobody named external-dns", overlay: inZone(byHand("app.example.com", otherALB)) + two},
		{name: "made by hand, and asked", overlay: inZone(byHand("app.example.com", otherALB)) + two, target: app, want: []string{"dns/externaldns-owner-mismatch" + extDeployment}, claim: "was not made by external-dns"},
		{name: "CloudFront before it, and asked", overlay: inZone("  - {Name: app.example.com., Type: CNAME, TTL: 60, ResourceRecords: [{Value: d1.cloudfront.net}]}\n") + two, target: app},
		{name: "its own, and late", overlay: inZone(owned("app.example.com", "shop", "ingress/shop/shop", otherALB)) + two},
		{name: "another prefix than before", overlay: started("v0.19.0", nil, "--txt-prefix=dns-") + inZone(owned("app.example.com", "shop", "ingress/shop/shop", otherALB)) + two,
			want: []string{"dns/externaldns-owner-mismatch" + extDeployment}, claim: "a-app.example.com, which is not where --txt-prefix"},
		{name: "no registry to read", overlay: started("v0.19.0", []string{"--registry"}, "--registry=dynamodb") + inZone(owned("app.example.com", "other", "ingress/shop/shop", otherALB)) + two},
		{name: "takes over by a flag", overlay: started("v0.19.0", nil, "--migrate-from-txt-owner=other") + inZone(owned("app.example.com", "other", "ingress/shop/shop", otherALB)) + two},

		// policies
		{name: "stale under sync", overlay: inZone(owned("beta.example.com", "shop", "ingress/shop/beta", otherALB))},
		{name: "stale and not ours", overlay: started("v0.19.0", []string{"--policy"}, "--policy=upsert-only") + inZone(owned("beta.example.com", "other", "ingress/shop/beta", otherALB))},
		{name: "stale under an id of many", overlay: started("v0.19.0", []string{"--policy", "--txt-owner-id"}, "--policy=upsert-only") + inZone(owned("beta.example.com", "default", "ingress/shop/beta", otherALB))},
		{name: "the same, to our own load balancer", overlay: started("v0.19.0", []string{"--policy", "--txt-owner-id"}, "--policy=upsert-only") + inZone(owned("beta.example.com", "default", "ingress/shop/beta", shopALB)),
			want: []string{"dns/externaldns-policy-upsert-only" + extDeployment}, claim: "beta.example.com stays"},
		{name: "of a source that is not read", overlay: started("v0.19.0", []string{"--policy"}, "--policy=upsert-only", "--source=crd") + inZone(owned("beta.example.com", "shop", "crd/shop/beta", otherALB))},
		{name: "create-only does not change", overlay: started("v0.19.0", []string{"--policy"}, "--policy=create-only") + inZone(owned("app.example.com", "shop", "ingress/shop/shop", otherALB)) + two,
			want: []string{"dns/externaldns-policy-upsert-only" + extDeployment}, claim: "--policy=create-only, so app.example.com still leads to " + otherALB},

		// sources
		{name: "no load balancer yet", overlay: "-- kube/ingresses.yaml --\nitems:\n- {metadata: {name: new, namespace: shop, creationTimestamp: \"2026-01-15T08:57:00Z\"}, spec: {rules: [{host: app.example.com}]}}\n"},
		{name: "no load balancer at all", overlay: "-- kube/ingresses.yaml --\nitems:\n- {metadata: {name: new, namespace: shop, creationTimestamp: \"2026-01-14T08:57:00Z\"}, spec: {rules: [{host: app.example.com}]}}\n",
			want: []string{"dns/externaldns-source-no-target kube/ingresses/shop/new"}, claim: "has no load balancer in its status"},
		{name: "another class on purpose", overlay: started("v0.19.0", nil, "--ingress-class=nginx") + two},
		{name: "another class, asked", overlay: started("v0.19.0", nil, "--ingress-class=nginx") + two, target: app, want: []string{"dns/externaldns-source-no-target kube/ingresses/shop/shop"}, claim: "only Ingresses of class nginx"},
		{name: "no such source, annotated", overlay: started("v0.19.0", []string{"--source"}, "--source=service") + ingress(alpha, "shop.example.com"), want: []string{"dns/externaldns-source-no-target kube/ingresses/shop/shop"}, claim: "no --source=ingress"},
		{name: "a filter, annotated", overlay: started("v0.19.0", nil, "--annotation-filter=team=a") + ingress(alpha, "shop.example.com"), want: []string{"dns/externaldns-source-no-target kube/ingresses/shop/shop"}, claim: "--annotation-filter=team=a leaves the object out"},
		{name: "ClusterIP", overlay: "-- kube/services.yaml --\nitems:\n- metadata: {name: web, namespace: shop" + alpha + "}\n", want: []string{"dns/externaldns-source-no-target kube/services/shop/web"}, claim: "--publish-internal-services"},
		{name: "ClusterIP that is published", overlay: started("v0.19.0", nil, "--publish-internal-services") + "-- kube/services.yaml --\nitems:\n- metadata: {name: web, namespace: shop" + alpha + "}\n"},
		{name: "flags in a script", overlay: "-- kube/deployments.yaml --\nitems:\n- {metadata: {name: external-dns, namespace: external-dns}, spec: {template: {spec: {containers: [{name: external-dns, image: \"x/external-dns:v0.19.0\", command: [sh, -c, /run.sh]}]}}}}\n" + ingress(strings.ReplaceAll(alpha, "alpha.", ""), "shop.example.com")},
		{name: "Cloudflare's", overlay: started("v0.19.0", []string{"--provider"}, "--provider=cloudflare") + two},

		// both zones
		{name: "one name in both zones, to the internet", overlay: privateTwin + inBoth("")},
		{name: "a private address in both zones", overlay: started("v0.19.0", []string{"--policy"}, "--policy=create-only", "--source=crd") + privateTwin + inBoth(privateA),
			want: []string{"dns/externaldns-multi-zone-write" + extDeployment}, claim: "writes in.example.com, which leads to the internal 10.0.1.5, into public zone example.com"},
		{name: "a private address in the public zone alone", overlay: privateTwin + inZone(privateA)},
		{name: "the zone's type is told", overlay: started("v0.19.0", nil, "--aws-zone-type=public") + privateTwin + inBoth(privateA)},

		// prefixes
		{name: "the old prefix, with the flag", overlay: started("v0.22.1", nil, "--annotation-prefix=external-dns.alpha.kubernetes.io/") + ingress(alpha, "shop.example.com")},
		{name: "the old prefix, and the record is still right", overlay: started("v0.22.1", nil) + ingress(alpha, "shop.example.com") + inZone(owned("app.example.com", "shop", "ingress/shop/shop", shopALB))},
		{name: "both prefixes", overlay: started("v0.22.1", nil) + ingress(", annotations: {external-dns.alpha.kubernetes.io/hostname: app.example.com, external-dns.kubernetes.io/hostname: app.example.com}", "shop.example.com")},
		{name: "a digest tells no version", overlay: started("@sha256:0123", nil) + ingress(alpha, "shop.example.com")},
		{name: "a target that is not read", overlay: started("v0.22.1", nil) + ingress(", annotations: {external-dns.alpha.kubernetes.io/target: front.example.net}", "shop.example.com"),
			want: []string{"dns/externaldns-annotation-prefix-upgrade" + extDeployment}, claim: "is ignored"},
	} {
		if x.overlay == "" {
			x.overlay = noLogs
		}
		x.overlay = "base: base-externaldns\n" + x.overlay
		t.Run(x.name, x.check)
	}
}

const privateA = "  - {Name: a-in.example.com., Type: TXT, TTL: 300, ResourceRecords: [{Value: '\"heritage=external-dns,external-dns/owner=shop,external-dns/resource=crd/shop/in\"'}]}\n  - {Name: in.example.com., Type: A, TTL: 60, ResourceRecords: [{Value: 10.0.1.5}]}\n"

func TestExternalDNSFlags(t *testing.T) {
	c := corev1.Container{
		Args: []string{"--source=ingress", "--source", "service", "--dry-run", "--no-events", "--txt-owner-id=$(CLUSTER)", "--txt-prefix=$(ELSEWHERE)", "--interval", "5m", "stray", "--"},
		Env: []corev1.EnvVar{
			{Name: "CLUSTER", Value: "shop"}, {Name: "EXTERNAL_DNS_POLICY", Value: "sync"}, {Name: "EXTERNAL_DNS_DOMAIN_FILTER", Value: "a.example\nb.example"},
			{Name: "EXTERNAL_DNS_INTERVAL", Value: "9m"}, {Name: "EXTERNAL_DNS_ZONE_ID_FILTER", ValueFrom: &corev1.EnvVarSource{}},
		},
	}
	want := flags{
		"source": {"ingress", "service"}, "dry-run": {"true"}, "events": {"false"}, "txt-owner-id": {"shop"}, "txt-prefix": {"$(ELSEWHERE)"}, "interval": {"5m"},
		"policy": {"sync"}, "domain-filter": {"a.example", "b.example"}, "zone-id-filter": {"$(EXTERNAL_DNS_ZONE_ID_FILTER)"},
	}
	got := parseFlags(c)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !got.vague("txt-prefix") || got.vague("txt-owner-id", "policy") || got.on("events") || !got.on("dry-run") {
		t.Error("what is known, and what is on, is read wrongly")
	}
}

func TestExternalDNSVersions(t *testing.T) {
	for image, want := range map[string]int{
		"registry.k8s.io/external-dns/external-dns:v0.22.0": 22, "docker.io/bitnami/external-dns:0.15.1-debian-12-r0": 15, "602401143452.dkr.ecr.eu-west-1.amazonaws.com/eks/external-dns:v0.19.0-eksbuild.2": 19,
		"localhost:5000/external-dns": -1, "external-dns:latest": -1, "x/external-dns@sha256:0f": -1, "external-dns:v1.0.0": 1000,
	} {
		if got := minorVersion(image); got != want || repository(image) != "external-dns" {
			t.Errorf("%s: version 0.%d of %s, want 0.%d of external-dns", image, got, repository(image), want)
		}
	}
}

// The names are those of TestToTXTNameNewFormat and of the documents of
// external-dns.
func TestExternalDNSTXTNames(t *testing.T) {
	for _, x := range []struct {
		affix affix
		name  string
		kind  r53types.RRType
		alias bool
		want  []string
	}{
		{affix{}, "foo.example.com", "A", false, []string{"a-foo.example.com", "foo.example.com"}},
		{affix{}, "foo.example.com", "A", true, []string{"a-foo.example.com", "cname-foo.example.com", "foo.example.com"}},
		{affix{}, "foo.example.com", "AAAA", true, []string{"aaaa-foo.example.com"}},
		{affix{prefix: "foo"}, "example.com", "CNAME", false, []string{"foocname-example.com", "fooexample.com"}},
		{affix{suffix: "-foo"}, "bar.example.com", "A", false, []string{"a-bar-foo.example.com", "bar-foo.example.com"}},
		{affix{prefix: "%{record_type}-foo."}, "bar.example.com", "A", false, []string{"a-foo.bar.example.com", "-foo.bar.example.com"}},
		{affix{wildcard: "any"}, "*.example.com", "A", false, []string{"a-any.example.com", "any.example.com"}},
	} {
		if diff := cmp.Diff(x.want, x.affix.names(x.name, x.kind, x.alias)); diff != "" {
			t.Errorf("%s %s with %+v:\n%s", x.kind, x.name, x.affix, diff)
		}
	}
}

func TestExternalDNSDomainFilter(t *testing.T) {
	for _, x := range []struct {
		args  []string
		name  string
		match bool
	}{
		{nil, "a.example.com", true},
		{[]string{"--domain-filter=example.com"}, "example.com", true},
		{[]string{"--domain-filter=Example.com."}, "a.b.example.com", true},
		{[]string{"--domain-filter=example.com"}, "badexample.com", false},
		{[]string{"--domain-filter=.example.com"}, "example.com", false},
		{[]string{"--domain-filter=example.com", "--exclude-domains=dev.example.com"}, "a.dev.example.com", false},
		{[]string{"--domain-filter=other.example", `--regex-domain-filter=^.*\.example\.com$`}, "a.example.com", true},
		{[]string{"--regex-domain-exclusion=^dev"}, "dev.example.com", false},
	} {
		p := &publisher{flags: parseFlags(corev1.Container{Args: x.args})}
		f, known := p.filter()
		if got := f.match(x.name); got != x.match || !known {
			t.Errorf("%v and %s: %v, want %v", x.args, x.name, got, x.match)
		}
	}
	if _, known := (&publisher{flags: flags{"regex-domain-filter": {"("}}}).filter(); known {
		t.Error("an expression that is none counts as known")
	}
}

func TestExternalDNSMostSpecificPublicZone(t *testing.T) {
	zones := []*hosted{{id: "1", name: "example.com"}, {id: "2", name: "dev.example.com"}, {id: "3", name: "example.com", private: true}, {id: "4", name: "example.org"}}
	var got []string
	for _, h := range (&publisher{}).suitable("a.dev.example.com", zones) {
		got = append(got, h.id)
	}
	if diff := cmp.Diff([]string{"3", "2"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestExternalDNSSayings(t *testing.T) {
	for line, want := range map[string]saying{
		`2026-01-15T08:59:12Z time="2026-01-15T08:59:12Z" level=error msg="a \"b\"\nc" zone=x`: {level: "error", text: "a \"b\"\nc"},
		`2026-01-15T08:59:12Z {"level":"info","msg":"all"}`:                                    {level: "info", text: "all"},
		`2026-01-15T08:59:12Z {"level":`:                                                       {text: `{"level":`},
		`2026-01-15T08:59:12Z level=info msg=word more=1`:                                      {level: "info", text: "word"},
		`2026-01-15T08:59:12Z msg="open`:                                                       {text: `msg="open`},
	} {
		want.at, want.pod = time.Date(2026, 1, 15, 8, 59, 12, 0, time.UTC), "p"
		if diff := cmp.Diff([]saying{want}, parseSayings("p", line, false), cmp.AllowUnexported(saying{})); diff != "" {
			t.Errorf("%s\n%s", line, diff)
		}
	}
}

// Records that lead in a ring, and objects without any of their fields, end.
func TestExternalDNSOddInput(t *testing.T) {
	ring := []r53types.ResourceRecordSet{
		{Name: aws.String("a.example.com"), Type: "CNAME", ResourceRecords: []r53types.ResourceRecord{{Value: aws.String("b.example.com")}, {}}},
		{Name: aws.String("b.example.com."), Type: "A", AliasTarget: &r53types.AliasTarget{DNSName: aws.String("a.example.com.")}},
		{}, {Type: "TXT"}, {Type: "A", AliasTarget: &r53types.AliasTarget{}},
		{Name: aws.String("a-a.example.com"), Type: "TXT", ResourceRecords: []r53types.ResourceRecord{{}}},
	}
	s := &facts.Snapshot{Have: map[facts.Kind]any{
		facts.Deployments.Kind(): []appsv1.Deployment{{}, {Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{
			{Image: "external-dns:v0.19.0", Args: []string{"--source=ingress", "--source=service", "--provider=aws", "--policy=create-only", "--namespace"}}}}}}}},
		facts.Pods.Kind(): []corev1.Pod{{}}, facts.PodLogs.Kind(): []facts.PodLog{{Text: "\n \nx"}}, facts.PodMetrics.Kind(): []facts.PodMetric{{Text: "external_dns_{"}},
		facts.Ingresses.Kind(): []networkingv1.Ingress{{}, {Spec: networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{{Host: "a.example.com"}, {Host: "*"}, {Host: "$(rm)"}}, TLS: []networkingv1.IngressTLS{{}}},
			Status: networkingv1.IngressStatus{LoadBalancer: networkingv1.IngressLoadBalancerStatus{Ingress: []networkingv1.IngressLoadBalancerIngress{{Hostname: "lb.elb.amazonaws.com"}}}}}},
		facts.Services.Kind(): []corev1.Service{{}}, facts.HostedZones.Kind(): []facts.HostedZone{{}, {HostedZone: r53types.HostedZone{Id: aws.String("Z"), Name: aws.String("example.com.")}, Owner: &r53types.HostedZoneOwner{}}},
		facts.Records.Kind(): []facts.RecordSets{{}, {HostedZoneId: "Z", ResourceRecordSets: ring}}, facts.ServiceAccounts.Kind(): []corev1.ServiceAccount{{}},
	}, Gaps: map[facts.Kind]facts.Gap{}, At: time.Date(2026, 1, 15, 9, 0, 0, 0, time.UTC)}
	s.Target.Host = "a.example.com"
	for _, res := range diagnose.Evaluate(Checks(), s) {
		if strings.HasPrefix(res.Check.ID, "dns/externaldns-") && res.Panic != nil {
			t.Errorf("%s: %v", res.Check.ID, res.Panic)
		}
	}
}
