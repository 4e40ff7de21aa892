package aws

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// A call is one request, as far as it is understood before it is performed.
type call struct {
	server *Server
	ctx    context.Context
	id     string // request id
	proto  *protocol
	action string
	op     op
	params *param   // parameters of a query protocol, of a REST URL, or the fields of a JSON body
	unread error    // why a JSON body is none
	path   []string // what a REST URL names, such as a cluster and an addon
	body   []byte   // of a REST call that changes something
	scope  scope
	here   bool // the signature's region is the world's: its objects are found
}

// An op is one operation of one service.
type op struct {
	run   func(*call) (answer, error)
	needs []string // parameters without which there is no call
	takes []string // further ones; any other is refused, never ignored
	write bool     // changes the world
}

// permission is the IAM action of the call.
func (c *call) permission() string { return c.proto.prefix + ":" + c.action }

// A protocol is how one service talks.
type protocol struct {
	name      string // in the credential scope
	prefix    string // of its IAM actions
	version   string // Version parameter of a query protocol
	namespace string // of its XML
	ops       map[string]op
	route     func(c *call, method, path string) // names a REST call; nil for the other protocols
	target    string                             // before the operation in X-Amz-Target, of a JSON 1.1 protocol
	style     style
	shape     int // column of the table of errors
}

var protocols = map[string]*protocol{}

func init() {
	for _, p := range []*protocol{
		{name: "ec2", prefix: "ec2", version: "2016-11-15", namespace: "http://ec2.amazonaws.com/doc/2016-11-15/", ops: ec2Ops, style: ec2Style, shape: shapeEC2},
		{name: "elasticloadbalancing", prefix: "elasticloadbalancing", version: "2015-12-01", namespace: "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/", ops: elbOps, style: queryStyle, shape: shapeQuery},
		{name: "sts", prefix: "sts", version: "2011-06-15", namespace: "https://sts.amazonaws.com/doc/2011-06-15/", ops: stsOps, style: queryStyle, shape: shapeQuery},
		{name: "eks", prefix: "eks", ops: eksOps, route: routeEKS, style: eksStyle, shape: shapeJSON},
		{name: "route53", prefix: "route53", namespace: "https://route53.amazonaws.com/doc/2013-04-01/", ops: route53Ops, route: routeRoute53, style: route53Style, shape: shapeQuery},
		{name: "route53resolver", prefix: "route53resolver", target: "Route53Resolver", ops: resolverOps, style: docStyle, shape: shapeResolver},
		{name: "servicequotas", prefix: "servicequotas", target: "ServiceQuotasV20190624", ops: quotaOps, style: docStyle, shape: shapeQuotas},
	} {
		protocols[p.name] = p
	}
}

// newCall finds out which operation a request is for. One that is for none
// has an op without run.
func (s *Server) newCall(r *http.Request, body []byte) *call {
	form := requestForm(r, body)
	c := &call{server: s, ctx: r.Context(), id: requestID(), params: parseParams(form), scope: scopeOf(r)}
	target, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	c.proto = serviceOf(c.scope.service, target, r.URL.Path, form)
	// Route 53 and STS are global: they answer whatever region signs.
	global := c.proto.name == "route53" || c.proto.name == "sts"
	c.here = global || c.scope.region == "" || c.scope.region == s.world.Setting().Region
	switch {
	case c.proto.route != nil:
		c.params, c.body = parseParams(r.URL.Query()), body
		c.proto.route(c, r.Method, r.URL.EscapedPath())
	case r.URL.Path != "/" && r.URL.Path != "":
	case c.proto.target == "":
		c.action = form.Get("Action")
	case c.proto.target == target:
		c.action = action
		c.params, c.unread = parseJSON(body)
	}
	c.op = c.proto.ops[c.action]
	return c
}

// requestForm returns the parameters of a query protocol: the URL's, and the
// body's when it is a form. What does not parse is left out.
func requestForm(r *http.Request, body []byte) url.Values {
	form := r.URL.Query()
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return form
	}
	posted, _ := url.ParseQuery(string(body))
	for k, v := range posted {
		form[k] = append(form[k], v...)
	}
	return form
}

// serviceOf tells the service by the signature; without one, by what the
// request looks like.
func serviceOf(signed, target, path string, form url.Values) *protocol {
	if p, ok := protocols[signed]; ok {
		return p
	}
	for _, p := range protocols {
		if p.target != "" && p.target == target {
			return p
		}
	}
	switch {
	case path == "/clusters" || strings.HasPrefix(path, "/clusters/"):
		return protocols["eks"]
	case strings.HasPrefix(path, "/2013-04-01/"):
		return protocols["route53"]
	}
	for _, p := range protocols {
		if p.version != "" && p.version == form.Get("Version") {
			return p
		}
	}
	for _, name := range []string{"elasticloadbalancing", "sts"} {
		_, in := protocols[name].ops[form.Get("Action")]
		if _, ec2 := ec2Ops[form.Get("Action")]; in && !ec2 {
			return protocols[name]
		}
	}
	return protocols["ec2"]
}

// checkParams refuses a call that lacks what it needs, or that has what this
// server does not know: leaving a condition out would answer a question that
// nobody asked.
func (c *call) checkParams() error {
	if c.unread != nil {
		return bad("SerializationException", "%v", c.unread)
	}
	for _, name := range c.op.needs {
		if !c.params.at(name).given() {
			return c.problem(missingParameter, "The request must contain the parameter %s", name)
		}
	}
	if c.proto.route != nil {
		return nil
	}
	known := map[string]bool{"Action": true, "Version": true, "DryRun": c.proto.name == "ec2"}
	for _, names := range [][]string{c.op.needs, c.op.takes} {
		for _, name := range names {
			known[name] = true
		}
	}
	for name, p := range c.params.kids {
		if !known[name] && !strings.HasPrefix(name, "X-Amz-") {
			return c.problem(unknownParameter, "The parameter %s is not recognized", p.name)
		}
	}
	if d := c.params.at("DryRun"); d.set && d.value != "true" && d.value != "false" {
		return c.invalid("Invalid value '%s' for DryRun. Must be true or false.", d.value)
	}
	return nil
}

// int32 returns a numeric parameter, nil when it is not given.
func (c *call) int32(p *param) (*int32, error) {
	if !p.set {
		return nil, nil
	}
	n, err := strconv.ParseInt(p.value, 10, 32)
	if err != nil {
		return nil, c.invalid("Invalid value '%s' for %s. Must be a number.", p.value, p.name)
	}
	v := int32(n)
	return &v, nil
}
