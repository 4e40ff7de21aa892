package kube

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/hopwise/hopwise/internal/world"
)

// create adds the object in the body.
func (s *Server) create(c *call) error {
	dry, err := c.dryRun(c.query["dryRun"])
	if err != nil {
		return err
	}
	d, err := c.body()
	if err != nil {
		return err
	}
	if d, err = s.createDoc(c, d, dry); err != nil {
		return err
	}
	return c.writeDoc(http.StatusCreated, d)
}

// createDoc validates d, adds it to the world unless dry, and returns it as
// stored.
func (s *Server) createDoc(c *call, d world.Doc, dry bool) (world.Doc, error) {
	if err := c.checkBody(d); err != nil {
		return nil, err
	}
	d, err := c.conform(d)
	if err != nil {
		return nil, err
	}
	if at(d, "metadata", "resourceVersion") != "" {
		return nil, apierrors.NewBadRequest("resourceVersion should not be set on objects to be created")
	}
	c.initialize(d)
	if err := c.validate(d, nil); err != nil {
		return nil, err
	}
	if err := s.namespaceExists(c); err != nil {
		return nil, err
	}
	if dry {
		if _, err := s.world.Get(c.kind(), c.id()); err == nil {
			return nil, c.worldError(world.ErrExists)
		}
		return d, nil
	}
	if err := s.world.Create(c.kind(), clone(d)); err != nil {
		return nil, c.worldError(err)
	}
	if stored, err := s.world.Get(c.kind(), c.id()); err == nil {
		d = c.res.present(stored)
	}
	return d, nil
}

// initialize gives a new object what the API server gives it.
func (c *call) initialize(d world.Doc) {
	m := metadata(d)
	if prefix := str(m, "generateName"); str(m, "name") == "" && prefix != "" {
		m["name"] = prefix + rand.String(5)
	}
	c.name = str(m, "name")
	m["uid"] = newUID()
	m["creationTimestamp"] = time.Now().UTC().Format(time.RFC3339)
	delete(m, "deletionTimestamp")
	if _, ok := d["spec"]; ok && c.res.kind != "Service" {
		m["generation"] = 1
	}
	if c.res.hasStatus() {
		delete(d, "status")
	}
	c.res.setDefaults(d)
}

// namespaceExists refuses an object in a namespace that is not there. A world
// that records no namespaces at all is taken to have them all.
func (s *Server) namespaceExists(c *call) error {
	if c.res.cluster {
		return nil
	}
	if _, err := s.world.Get("kube/namespaces", c.namespace); err == nil {
		return nil
	}
	if all, _ := s.world.List("kube/namespaces"); len(all) == 0 {
		return nil
	}
	return apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, c.namespace)
}

// update replaces an object by the one in the body.
func (s *Server) update(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	if err := c.checkBody(body); err != nil {
		return err
	}
	if body, err = c.conform(body); err != nil {
		return err
	}
	d, err := s.change(c, func(world.Doc) (world.Doc, error) { return body, nil })
	if err != nil {
		return err
	}
	return c.writeDoc(http.StatusOK, d)
}

// change replaces the object of c by what edit makes of it, unless the call is
// a dry run, and returns it as stored. edit must not use the world.
func (s *Server) change(c *call, edit func(old world.Doc) (world.Doc, error)) (world.Doc, error) {
	dry, err := c.dryRun(c.query["dryRun"])
	if err != nil {
		return nil, err
	}
	var result world.Doc
	apply := func(stored world.Doc) error {
		old := c.res.present(clone(stored))
		next, err := edit(clone(old))
		if err != nil {
			return err
		}
		next = clone(next)
		if err := c.settle(old, next); err != nil {
			return err
		}
		if result = next; same(old, next) {
			return nil
		}
		clear(stored)
		maps.Copy(stored, clone(next))
		return nil
	}
	if dry {
		stored, err := s.world.Get(c.kind(), c.id())
		if err == nil {
			err = apply(stored)
		}
		return result, c.worldError(err)
	}
	if err := s.world.Update(c.kind(), c.id(), apply); err != nil {
		return nil, c.worldError(err)
	}
	if stored, err := s.world.Get(c.kind(), c.id()); err == nil {
		result = c.res.present(stored)
	}
	return result, nil
}

// settle makes next a valid successor of old: somebody else's change is not
// overwritten, and what only the server may set stays.
func (c *call) settle(old, next world.Doc) error {
	if err := c.checkBody(next); err != nil {
		return err
	}
	was, m := metadata(old), metadata(next)
	if v := str(m, "resourceVersion"); v != "" && v != str(was, "resourceVersion") {
		return apierrors.NewConflict(c.res.groupResource(), c.name, errors.New("the object has been modified; please apply your changes to the latest version and try again"))
	}
	if uid := str(m, "uid"); uid != "" && uid != str(was, "uid") {
		return apierrors.NewConflict(c.res.groupResource(), c.name, fmt.Errorf("Precondition failed: UID in precondition: %s, UID in object meta: %s", uid, str(was, "uid")))
	}
	for _, f := range []string{"resourceVersion", "uid", "creationTimestamp", "generation", "deletionTimestamp", "generateName"} {
		keep(m, was, f)
	}
	switch {
	case c.sub == "status":
		for f := range old {
			if f != "status" {
				keep(next, old, f)
			}
		}
	case c.res.hasStatus():
		keep(next, old, "status")
	}
	if generation, ok := was["generation"].(float64); ok && !same(old["spec"], next["spec"]) {
		m["generation"] = generation + 1
	}
	return c.validate(next, old)
}

// keep makes a field of next what it was in old.
func keep(next, old world.Doc, field string) {
	if v, ok := old[field]; ok {
		next[field] = v
	} else {
		delete(next, field)
	}
}

// dryRun reports whether a parameter asks to store nothing.
func (c *call) dryRun(values []string) (bool, error) {
	if errs := metav1validation.ValidateDryRun(field.NewPath("dryRun"), values); len(errs) > 0 {
		return false, apierrors.NewInvalid(schema.GroupKind{Group: "meta.k8s.io", Kind: "Options"}, "", errs)
	}
	return len(values) > 0, nil
}

// delete removes one object.
func (s *Server) delete(c *call) error {
	opts, err := c.deleteOptions()
	if err != nil {
		return err
	}
	d, err := s.world.Get(c.kind(), c.id())
	if err != nil {
		return c.worldError(err)
	}
	if err := s.remove(c, c.res.present(d), opts); err != nil {
		return err
	}
	if c.res.kind == "Pod" { // the one kind that is answered with itself, as it takes its time to end
		return c.writeDoc(http.StatusOK, d)
	}
	writeJSON(c.w, http.StatusOK, metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusSuccess,
		Details: &metav1.StatusDetails{Name: c.name, Group: c.res.group, Kind: c.res.plural, UID: uidIn(d)}})
	return nil
}

// remove deletes d if it is still as opts want it.
func (s *Server) remove(c *call, d world.Doc, opts metav1.DeleteOptions) error {
	if p := opts.Preconditions; p != nil {
		m := metadata(d)
		if p.UID != nil && string(*p.UID) != str(m, "uid") {
			return apierrors.NewConflict(c.res.groupResource(), c.name, fmt.Errorf("Precondition failed: UID in precondition: %s, UID in object meta: %s", *p.UID, str(m, "uid")))
		}
		if p.ResourceVersion != nil && *p.ResourceVersion != str(m, "resourceVersion") {
			return apierrors.NewConflict(c.res.groupResource(), c.name, fmt.Errorf("Precondition failed: ResourceVersion in precondition: %s, ResourceVersion in object meta: %s", *p.ResourceVersion, str(m, "resourceVersion")))
		}
	}
	if len(opts.DryRun) > 0 {
		return nil
	}
	return c.worldError(s.world.Delete(c.kind(), c.id()))
}

// deleteAll removes what c selects.
func (s *Server) deleteAll(c *call) error {
	opts, err := c.deleteOptions()
	if err != nil {
		return err
	}
	sel, err := c.selector()
	if err != nil {
		return err
	}
	docs, version := s.world.List(c.kind())
	var gone []world.Doc
	for _, d := range docs {
		if !sel.matches(c.res.present(d)) {
			continue
		}
		one := *c
		one.namespace, one.name = at(d, "metadata", "namespace"), at(d, "metadata", "name")
		if err := s.remove(&one, d, opts); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		gone = append(gone, d)
	}
	return c.writeList(metav1.ListMeta{ResourceVersion: fmt.Sprint(version)}, gone)
}

// deleteOptions reads the body and the query of a delete.
func (c *call) deleteOptions() (metav1.DeleteOptions, error) {
	var opts metav1.DeleteOptions
	body, mediaType, err := c.raw()
	if err != nil {
		return opts, err
	}
	if len(body) > 0 {
		d, err := parseBody(body, mediaType)
		if err != nil {
			return opts, err
		}
		if opts, err = world.Decode[metav1.DeleteOptions](d); err != nil {
			return opts, apierrors.NewBadRequest("delete options: " + err.Error())
		}
	}
	opts.DryRun = append(opts.DryRun, c.query["dryRun"]...)
	_, err = c.dryRun(opts.DryRun)
	return opts, err
}
