package kube

import (
	"fmt"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hopwise/hopwise/internal/world"
)

// get answers with one object.
func (s *Server) get(c *call) error {
	d, err := s.world.Get(c.kind(), c.id())
	if err != nil {
		return c.worldError(err)
	}
	return c.writeDoc(http.StatusOK, c.res.present(d))
}

// list answers with the objects that c selects, or a page of them.
func (s *Server) list(c *call) error {
	sel, err := c.selector()
	if err != nil {
		return err
	}
	limit, err := c.number("limit")
	if err != nil {
		return err
	}
	snap, start, err := s.snapshot(c)
	if err != nil {
		return err
	}
	var docs []world.Doc
	for _, d := range snap.docs {
		if idOf(d) > start && sel.matches(d) {
			docs = append(docs, d)
		}
	}
	meta := metav1.ListMeta{ResourceVersion: strconv.FormatInt(snap.version, 10)}
	if n := int64(len(docs)); limit > 0 && n > limit {
		if rest := n - limit; !sel.narrow() {
			meta.RemainingItemCount = &rest
		}
		docs = docs[:limit]
		meta.Continue = continueToken{snap.version, idOf(docs[limit-1])}.String()
		s.pages.keep(c.kind(), snap)
	}
	return c.writeList(meta, docs)
}

// number reads a query parameter that is a number; 0 when it is missing.
func (c *call) number(param string) (int64, error) {
	v := c.query.Get(param)
	if v == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("%s: Invalid value: %q: must be a number, 0 or more", param, v))
	}
	return n, nil
}

// checkVersion refuses a resourceVersion that is none, or that lies in the
// future: the client talked to another server before.
func (s *Server) checkVersion(c *call) (int64, error) {
	version, err := c.number("resourceVersion")
	if err != nil {
		return 0, err
	}
	if now := s.world.Version(); version > now {
		tooLarge := apierrors.NewTimeoutError(fmt.Sprintf("Too large resource version: %d, current: %d", version, now), 1)
		tooLarge.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge, Message: "Too large resource version"}}
		return 0, tooLarge
	}
	return version, nil
}

// snapshot returns all objects of c's kind: as they are now, or for a continue
// token as they were when its first page was read. Those up to start were
// already told.
func (s *Server) snapshot(c *call) (snap snapshot, start string, err error) {
	if raw := c.query.Get("continue"); raw != "" {
		token, err := parseContinue(raw)
		if err != nil {
			return snap, "", err
		}
		if token.Version < 0 { // goes on after the snapshot is gone
			return s.now(c), token.Start, nil
		}
		snap, ok := s.pages.find(c.kind(), token.Version)
		if !ok {
			return snap, "", expired(token)
		}
		return snap, token.Start, nil
	}
	if _, err := s.checkVersion(c); err != nil {
		return snap, "", err
	}
	return s.now(c), "", nil
}

func (s *Server) now(c *call) snapshot {
	docs, version := s.world.List(c.kind())
	for _, d := range docs {
		c.res.present(d)
	}
	return snapshot{docs: docs, version: version}
}

// idOf is the id of a Kubernetes document, which orders lists.
func idOf(d world.Doc) string {
	m := metadata(d)
	if ns := str(m, "namespace"); ns != "" {
		return ns + "/" + str(m, "name")
	}
	return str(m, "name")
}
