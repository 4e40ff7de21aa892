package aws

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A scope is a SigV4 credential scope: whom a signature is for. It is empty
// when the request is not signed.
type scope struct{ keyID, date, region, service string }

// A signature is what the Authorization header of a signed request holds
// ("Create a signed AWS API request", IAM user guide).
type signature struct {
	scope
	headers   []string // the signed ones, lower case, sorted
	signature string
}

const algorithm = "AWS4-HMAC-SHA256"

// allowedSkew is how far a request's date may lie from the server's clock.
const allowedSkew = 15 * time.Minute

// scopeOf reads the credential scope of a request, whether or not the rest of
// its signature is whole.
func scopeOf(r *http.Request) scope {
	sig, _ := parseSignature(r.Header.Get("Authorization"))
	return sig.scope
}

// parseSignature reads an Authorization header. What is missing in it is
// named, for the error message.
func parseSignature(header string) (sig signature, missing string) {
	fields := map[string]string{}
	rest, ok := strings.CutPrefix(header, algorithm)
	if !ok {
		return sig, "'Credential'"
	}
	for part := range strings.SplitSeq(rest, ",") {
		k, v, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[k] = v
	}
	if parts := strings.Split(fields["Credential"], "/"); len(parts) == 5 && parts[4] == "aws4_request" {
		sig.scope = scope{parts[0], parts[1], parts[2], parts[3]}
	}
	for _, name := range []string{"Credential", "Signature", "SignedHeaders"} {
		if fields[name] == "" || name == "Credential" && sig.keyID == "" {
			missing = "'" + name + "'"
		}
	}
	sig.signature, sig.headers = fields["Signature"], strings.Split(fields["SignedHeaders"], ";")
	return sig, missing
}

// verify checks who sent r, as far as the options say who may.
func (s *Server) verify(c *call, r *http.Request, body []byte) error {
	if s.opts.AccessKeyID == "" {
		return nil
	}
	header := r.Header.Get("Authorization")
	if header == "" {
		return c.problem(noSignature, "Request is missing Authentication Token")
	}
	sig, missing := parseSignature(header)
	if missing != "" {
		return c.problem(halfSignature, "Authorization header requires %s parameter.", missing)
	}
	return s.verifySignature(c, r, sig, body)
}

func (s *Server) verifySignature(c *call, r *http.Request, sig signature, body []byte) error {
	if sig.keyID != s.opts.AccessKeyID || r.Header.Get("X-Amz-Security-Token") != s.opts.SessionToken {
		if c.proto.shape == shapeEC2 {
			return c.problem(unknownKey, "AWS was not able to validate the provided access credentials")
		}
		return c.problem(unknownKey, "The security token included in the request is invalid.")
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return c.problem(halfSignature, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	want := sig.sign(s.opts.SecretAccessKey, r, body)
	switch {
	case sig.service != c.proto.name:
		return c.problem(badSignature, "Credential should be scoped to correct service: '%s'.", c.proto.name)
	case subtle.ConstantTimeCompare([]byte(want), []byte(sig.signature)) != 1, !slices.Contains(sig.headers, "host"), sig.date != at.Format("20060102"):
		if c.proto.shape == shapeEC2 {
			return c.problem(badSignature, "AWS was not able to validate the provided access credentials")
		}
		return c.problem(badSignature, "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	case time.Since(at).Abs() > allowedSkew:
		return c.problem(badSignature, "Signature not yet current or expired: %s is not within %s of the server's time", at.Format(time.RFC3339), allowedSkew)
	case !s.opts.Expires.IsZero() && time.Now().After(s.opts.Expires):
		if c.proto.shape == shapeEC2 {
			return c.problem(expiredToken, "Request has expired.")
		}
		return c.problem(expiredToken, "The security token included in the request is expired")
	}
	return nil
}

// sign computes the signature that r should have.
func (sig signature) sign(secret string, r *http.Request, body []byte) string {
	sum := sha256.Sum256([]byte(sig.canonical(r, body)))
	toSign := strings.Join([]string{
		algorithm, r.Header.Get("X-Amz-Date"), strings.Join([]string{sig.date, sig.region, sig.service, "aws4_request"}, "/"), hex.EncodeToString(sum[:]),
	}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{sig.date, sig.region, sig.service, "aws4_request"} {
		key = mac(key, part)
	}
	return hex.EncodeToString(mac(key, toSign))
}

func mac(key []byte, data string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(data))
	return h.Sum(nil)
}

// canonical is the canonical request. The body is hashed, whatever hash the
// request claims.
func (sig signature) canonical(r *http.Request, body []byte) string {
	sum := sha256.Sum256(body)
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	var b strings.Builder
	b.WriteString(r.Method + "\n" + escape(path, true) + "\n" + canonicalQuery(r.URL.Query()) + "\n")
	for _, name := range sig.headers {
		b.WriteString(name + ":" + headerValue(r, name) + "\n")
	}
	b.WriteString("\n" + strings.Join(sig.headers, ";") + "\n" + hex.EncodeToString(sum[:]))
	return b.String()
}

// headerValue is a header as it is signed. Go's server takes Host out of the
// headers.
func headerValue(r *http.Request, name string) string {
	switch {
	case name == "host":
		return r.Host
	case name == "content-length" && r.Header.Get(name) == "":
		return strconv.FormatInt(r.ContentLength, 10)
	}
	var values []string
	for _, v := range r.Header.Values(name) {
		values = append(values, strings.Join(strings.Fields(v), " "))
	}
	return strings.Join(values, ",")
}

func canonicalQuery(q url.Values) string {
	var pairs []string
	for k, values := range q {
		for _, v := range values {
			pairs = append(pairs, escape(k, false)+"="+escape(v, false))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

// escape percent-encodes all but RFC 3986's unreserved characters, and "/"
// where slashes stay.
func escape(s string, slashes bool) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-_.~", c) >= 0, c == '/' && slashes:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}
