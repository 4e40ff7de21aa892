package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// check lets the scenario's faults and the permissions act on c.
func (s *Server) check(c *call) error {
	needed := []string{c.verb}
	if c.verb == "watch" && c.query.Get("sendInitialEvents") == "true" {
		needed = append(needed, "list") // such a watch tells as much as a list
	}
	for _, verb := range needed {
		if !s.allowed(verb, c.res, c.sub) {
			return c.forbidden(verb)
		}
		if err := s.fault(c.r.Context(), permission(verb, c.res.plural, c.sub)); err != nil {
			return err
		}
	}
	return nil
}

// allowed reports whether the scenario permits verb on a resource.
func (s *Server) allowed(verb string, res *resource, sub string) bool {
	f, ok := s.world.Fault(permission(verb, res.plural, sub))
	return !res.denied && !(ok && f.How == "deny")
}

// fault does what the scenario wants of the calls that need a permission.
func (s *Server) fault(ctx context.Context, permission string) error {
	f, ok := s.world.Fault(permission)
	if !ok || !s.count(permission, f.Times) {
		return nil
	}
	s.log.Debug("kube: fault", "permission", permission, "how", f.How)
	switch f.How {
	case "throttle":
		return apierrors.NewTooManyRequests("too many requests, please try again later", 1)
	case "hang":
		<-ctx.Done()
		panic(http.ErrAbortHandler) // nobody is left to read an answer
	case "error":
		return apierrors.NewInternalError(fmt.Errorf("etcdserver: request timed out"))
	}
	return nil
}

// count counts one more call under a fault and reports whether the fault still
// acts: the first times calls, or all when times is 0.
func (s *Server) count(permission string, times int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[permission]++
	return times == 0 || s.faults[permission] <= times
}

// forbidden is the refusal in the words of the API server's RBAC authorizer.
func (c *call) forbidden(verb string) error {
	resource := c.res.plural
	if c.sub != "" {
		resource += "/" + c.sub
	}
	where := "at the cluster scope"
	if c.namespace != "" {
		where = fmt.Sprintf("in the namespace %q", c.namespace)
	}
	return apierrors.NewForbidden(c.res.groupResource(), c.name,
		fmt.Errorf("User %q cannot %s resource %q in API group %q %s", User, verb, resource, c.res.group, where))
}

// review answers a question about the caller; nothing is stored.
func (s *Server) review(c *call) error {
	switch c.res.plural {
	case "selfsubjectaccessreviews":
		return s.reviewAccess(c)
	case "selfsubjectrulesreviews":
		return s.reviewRules(c)
	}
	return s.reviewSelf(c)
}

// reviewAccess answers "may I?": kubectl auth can-i.
func (s *Server) reviewAccess(c *call) error {
	var review authorizationv1.SelfSubjectAccessReview
	if err := c.readReview(&review); err != nil {
		return err
	}
	if a := review.Spec.ResourceAttributes; a != nil {
		review.Status.Allowed = s.allowedAttributes(a)
	} else if n := review.Spec.NonResourceAttributes; n != nil {
		review.Status.Allowed = n.Verb == "get"
	} else {
		return apierrors.NewBadRequest("spec: exactly one of nonResourceAttributes or resourceAttributes must be specified")
	}
	writeJSON(c.w, http.StatusCreated, review)
	return nil
}

func (s *Server) allowedAttributes(a *authorizationv1.ResourceAttributes) bool {
	for _, res := range resources {
		if res.review || res.plural != a.Resource || a.Group != "*" && res.group != a.Group {
			continue
		}
		if a.Subresource != "" && !slices.Contains(res.subs, a.Subresource) {
			return false
		}
		return res.has(a.Verb) && s.allowed(a.Verb, res, a.Subresource)
	}
	return false // also for "*": something is always denied
}

// reviewRules answers "what may I?": kubectl auth can-i --list.
func (s *Server) reviewRules(c *call) error {
	var review authorizationv1.SelfSubjectRulesReview
	if err := c.readReview(&review); err != nil {
		return err
	}
	review.Status.ResourceRules = []authorizationv1.ResourceRule{}
	review.Status.NonResourceRules = []authorizationv1.NonResourceRule{{Verbs: []string{"get"}, NonResourceURLs: []string{"/api", "/api/*", "/apis", "/apis/*", "/healthz", "/openapi/*", "/readyz", "/version"}}}
	for _, res := range resources {
		if res.review {
			continue
		}
		for _, sub := range append([]string{""}, res.subs...) {
			review.Status.ResourceRules = append(review.Status.ResourceRules, s.rules(res, sub)...)
		}
	}
	writeJSON(c.w, http.StatusCreated, review)
	return nil
}

func (s *Server) rules(res *resource, sub string) []authorizationv1.ResourceRule {
	name, verbs := res.plural, res.subVerbs(sub)
	if sub != "" {
		name += "/" + sub
	}
	verbs = slices.DeleteFunc(verbs, func(v string) bool { return !s.allowed(v, res, sub) })
	if len(verbs) == 0 {
		return nil
	}
	return []authorizationv1.ResourceRule{{Verbs: verbs, APIGroups: []string{res.group}, Resources: []string{name}}}
}

// reviewSelf answers "who am I?": kubectl auth whoami.
func (s *Server) reviewSelf(c *call) error {
	var review authenticationv1.SelfSubjectReview
	if err := c.readReview(&review); err != nil {
		return err
	}
	review.CreationTimestamp = metav1.NewTime(time.Now())
	review.Status.UserInfo = authenticationv1.UserInfo{Username: User, Groups: []string{"system:serviceaccounts", "system:serviceaccounts:hopwise", "system:authenticated"}}
	writeJSON(c.w, http.StatusCreated, review)
	return nil
}

// readReview decodes the body of c into a review and names its type.
func (c *call) readReview(into interface {
	SetGroupVersionKind(schema.GroupVersionKind)
}) error {
	doc, err := c.body()
	if err != nil {
		return err
	}
	b, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: %v", c.res.kind, c.res.version, c.res.kind, err))
	}
	into.SetGroupVersionKind(c.res.groupVersionKind())
	return nil
}
