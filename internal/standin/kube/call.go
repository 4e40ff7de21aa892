package kube

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hopwise/hopwise/internal/facts"
)

// A call is one request, taken apart.
type call struct {
	w     http.ResponseWriter
	r     *http.Request
	query url.Values
	form  form // of the answer

	res       *resource // nil for paths outside of resources, such as /version
	verb      string    // get, list, watch, create, update, patch, delete, deletecollection
	namespace string
	name      string
	sub       string // log, proxy, scale, status
	rest      string // the path after "proxy"
}

// permission names what c needs, as in "list pods" or "patch deployments/scale".
func (c *call) permission() string {
	if c.res == nil {
		return "get " + c.r.URL.Path
	}
	return permission(c.verb, c.res.plural, c.sub)
}

func permission(verb, plural, sub string) string {
	if sub != "" {
		plural += "/" + sub
	}
	return verb + " " + plural
}

// kind is the world's kind of the objects of c.
func (c *call) kind() facts.Kind { return facts.Kind("kube/" + c.res.plural) }

// id is the world's id of the object of c.
func (c *call) id() string {
	if c.res.cluster {
		return c.name
	}
	return c.namespace + "/" + c.name
}

// parse reads the request line and the Accept header.
func (s *Server) parse(w http.ResponseWriter, r *http.Request) (*call, error) {
	c := &call{w: w, r: r, query: r.URL.Query()}
	var err error
	if c.form, err = acceptedForm(r.Header.Values("Accept")); err != nil {
		return nil, err
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case parts[0] == "api" && len(parts) > 2:
		err = c.parseResource("", parts[1], parts[2:])
	case parts[0] == "apis" && len(parts) > 3:
		err = c.parseResource(parts[1], parts[2], parts[3:])
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		err = statusError(http.StatusMethodNotAllowed, metav1.StatusReasonMethodNotAllowed, "the server does not allow this method on the requested resource")
	}
	return c, err
}

// parseResource reads the path after the group and version:
// [namespaces/NS/]RESOURCE[/NAME[/SUB]], and anything after the sub "proxy".
func (c *call) parseResource(group, version string, parts []string) error {
	if parts[0] == "namespaces" && len(parts) > 2 && !slices.Contains([]string{"status", "finalize"}, parts[2]) {
		c.namespace, parts = parts[1], parts[2:]
	}
	if len(parts) > 3 && parts[2] == "proxy" {
		c.rest, parts = strings.Join(parts[3:], "/"), parts[:3]
	}
	c.res = lookup(group, version, parts[0])
	if c.res == nil || len(parts) > 3 || slices.Contains(parts, "") || c.res.cluster && c.namespace != "" {
		return notServed()
	}
	if len(parts) > 1 {
		c.name = parts[1]
	}
	if len(parts) > 2 {
		c.sub = parts[2]
	}
	if c.sub != "" && !slices.Contains(c.res.subs, c.sub) {
		return notServed()
	}
	if c.name != "" && !c.res.cluster && c.namespace == "" {
		return notServed()
	}
	return c.readVerb()
}

// readVerb derives the verb from the method, and refuses one that the
// resource does not have.
func (c *call) readVerb() error {
	watch := c.query.Get("watch")
	switch c.r.Method {
	case http.MethodGet:
		c.verb = "get"
		if c.name == "" {
			c.verb = "list"
		}
		if c.name == "" && (watch == "1" || watch == "true") {
			c.verb = "watch"
		}
	case http.MethodPost:
		c.verb = "create"
	case http.MethodPut:
		c.verb = "update"
	case http.MethodPatch:
		c.verb = "patch"
	case http.MethodDelete:
		c.verb = "delete"
		if c.name == "" {
			c.verb = "deletecollection"
		}
	}
	if !c.allowsVerb() {
		return apierrors.NewMethodNotSupported(c.res.groupResource(), strings.ToLower(c.r.Method))
	}
	return nil
}

func (c *call) allowsVerb() bool {
	named := c.name != ""
	switch c.verb {
	case "create":
		return !named && (c.res.review || c.res.has("create") && (c.res.cluster || c.namespace != ""))
	case "update", "patch", "delete":
		if !named || c.sub == "log" || c.sub == "proxy" || c.sub != "" && c.verb == "delete" {
			return false
		}
	case "":
		return false
	}
	return c.res.has(c.verb)
}

// answer serves c, after the world's faults had their turn.
func (s *Server) answer(c *call) error {
	if c.res == nil {
		return s.discovery(c)
	}
	if c.res.review {
		return s.review(c)
	}
	if err := s.check(c); err != nil {
		return err
	}
	switch c.sub {
	case "log":
		return s.logs(c)
	case "proxy":
		return s.proxy(c)
	case "scale":
		return s.scale(c)
	}
	switch c.verb {
	case "list":
		return s.list(c)
	case "get":
		return s.get(c)
	case "watch":
		return s.watch(c)
	case "create":
		return s.create(c)
	case "update":
		return s.update(c)
	case "patch":
		return s.patch(c)
	case "delete":
		return s.delete(c)
	case "deletecollection":
		return s.deleteAll(c)
	}
	return apierrors.NewMethodNotSupported(c.res.groupResource(), c.verb)
}
