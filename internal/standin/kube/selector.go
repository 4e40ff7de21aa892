package kube

import (
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/hopwise/hopwise/internal/world"
)

// A selector is which objects a list or watch is of.
type selector struct {
	res       *resource
	namespace string // "" for all
	labels    labels.Selector
	fields    fields.Selector
}

// selector reads the namespace and the selectors of c.
func (c *call) selector() (selector, error) {
	sel := selector{res: c.res, namespace: c.namespace}
	var err error
	if sel.labels, err = labels.Parse(c.query.Get("labelSelector")); err != nil {
		return sel, apierrors.NewBadRequest(fmt.Sprintf("unable to parse requirement: %v", err))
	}
	if sel.fields, err = fields.ParseSelector(c.query.Get("fieldSelector")); err != nil {
		return sel, apierrors.NewBadRequest(err.Error())
	}
	for _, r := range sel.fields.Requirements() {
		if r.Field != "metadata.name" && r.Field != "metadata.namespace" && !slices.Contains(c.res.fields, r.Field) {
			return sel, apierrors.NewBadRequest("field label not supported: " + r.Field)
		}
	}
	return sel, nil
}

// narrow reports whether s leaves anything out beyond a namespace.
func (s selector) narrow() bool { return !s.labels.Empty() || !s.fields.Empty() }

func (s selector) matches(d world.Doc) bool {
	if s.namespace != "" && at(d, "metadata", "namespace") != s.namespace {
		return false
	}
	return s.labels.Matches(labels.Set(labelsOf(d))) && (s.fields.Empty() || s.fields.Matches(s.fieldsOf(d)))
}

// fieldsOf returns the values that a fieldSelector sees in d.
func (s selector) fieldsOf(d world.Doc) fields.Set {
	set := fields.Set{"metadata.name": at(d, "metadata", "name"), "metadata.namespace": at(d, "metadata", "namespace")}
	for _, f := range s.res.fields {
		set[f] = at(d, strings.Split(f, ".")...)
	}
	if s.res.kind != "Event" {
		return set
	}
	set["source"] = at(d, "source", "component")
	// Recorded events often lack the uid of their object, which kubectl
	// describe asks for beside the name.
	if uid, ok := s.fields.RequiresExactMatch("involvedObject.uid"); ok && set["involvedObject.uid"] == "" {
		set["involvedObject.uid"] = uid
	}
	return set
}
