package kube

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/hopwise/hopwise/internal/world"
)

// bookmarkEvery is how often a watch that asked for bookmarks gets one.
const bookmarkEvery = 10 * time.Second

// A stream is one watch under way.
type stream struct {
	*call
	world    *world.World
	sel      selector
	shown    map[string]bool // ids that the client has; nil when every object of a namespace is told
	untold   bool            // shown does not know all that the client has
	headless bool            // the columns of the table were sent
	out      *json.Encoder
	flush    *http.ResponseController
}

// watch streams the changes of what c selects until its timeout, the client
// or the world ends it.
func (s *Server) watch(c *call) error {
	st := &stream{call: c, world: s.world}
	var err error
	if st.sel, err = c.selector(); err != nil {
		return err
	}
	version, err := s.checkVersion(c)
	if err != nil {
		return err
	}
	timeout, err := c.number("timeoutSeconds")
	if err != nil {
		return err
	}
	initial, err := c.initialEvents(version)
	if err != nil {
		return err
	}
	docs, now := s.world.List(c.kind())
	if initial {
		version = now
	}
	events, stop, err := s.world.Watch(c.kind(), version)
	if err != nil {
		return st.refuse(apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", version, now)))
	}
	defer stop()
	st.begin()
	st.prime(docs, initial, version == now)
	if initial && c.query.Get("sendInitialEvents") == "true" && st.wantsBookmarks() {
		st.bookmark(now, true)
	}
	st.run(events, time.Duration(timeout)*time.Second)
	return nil
}

// initialEvents reports whether the watch begins with all that is there: asked
// for with sendInitialEvents, or by naming no version.
func (c *call) initialEvents(version int64) (bool, error) {
	send := c.query.Get("sendInitialEvents")
	if send == "" {
		return version == 0, nil
	}
	if match := c.query.Get("resourceVersionMatch"); match != "NotOlderThan" {
		forbidden := field.Forbidden(field.NewPath("resourceVersionMatch"), "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
		return false, apierrors.NewInvalid(schema.GroupKind{Group: "meta.k8s.io", Kind: "ListOptions"}, "", field.ErrorList{forbidden})
	}
	return send == "true", nil
}

// begin sends the head of the answer, so that the client knows that it watches.
func (st *stream) begin() {
	st.w.Header().Set("Content-Type", "application/json")
	st.w.WriteHeader(http.StatusOK)
	st.out, st.flush = json.NewEncoder(st.w), http.NewResponseController(st.w)
	_ = st.flush.Flush() // fails where nobody streams: then there is nothing to do
}

// refuse ends a watch with an error in the stream, as the API server does for
// what its watch cache finds.
func (st *stream) refuse(err error) error {
	st.begin()
	st.write("ERROR", statusOf(err))
	return nil
}

// prime tells what is there, or only notes what the client already has.
func (st *stream) prime(docs []world.Doc, tell, exact bool) {
	if st.sel.narrow() {
		st.shown, st.untold = map[string]bool{}, !exact
	}
	for _, d := range docs {
		if !st.sel.matches(st.res.present(d)) {
			continue
		}
		if st.shown != nil && exact {
			st.shown[idOf(d)] = true
		}
		if tell {
			st.send("ADDED", d)
		}
	}
}

func (st *stream) wantsBookmarks() bool {
	v := st.query.Get("allowWatchBookmarks")
	return v == "true" || v == "1"
}

// run passes events on until something ends the watch.
func (st *stream) run(events <-chan world.Event, timeout time.Duration) {
	var ended, tick <-chan time.Time
	if timeout > 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		ended = t.C
	}
	if st.wantsBookmarks() {
		t := time.NewTicker(bookmarkEvery)
		defer t.Stop()
		tick = t.C
	}
	for {
		select {
		case ev, ok := <-events:
			if !ok {
				return
			}
			st.pass(ev)
		case <-tick:
			if !st.catchUp(events) {
				return
			}
		case <-ended:
			if st.wantsBookmarks() {
				st.catchUp(events)
			}
			return
		case <-st.r.Context().Done():
			return
		}
	}
}

// catchUp passes on what waits and then sends a bookmark: every change up to
// the version that it names was told. It reports whether the watch goes on.
func (st *stream) catchUp(events <-chan world.Event) bool {
	version := st.world.Version() // its event is in the channel already
	for {
		select {
		case ev, ok := <-events:
			if !ok {
				return false
			}
			st.pass(ev)
			version = max(version, ev.Version)
		default:
			st.bookmark(version, false)
			return true
		}
	}
}

// pass tells one change as the client's selectors see it: an object that no
// longer matches is gone for it, one that begins to match is new.
func (st *stream) pass(ev world.Event) {
	d, id := st.res.present(clone(ev.Doc)), ev.ID
	metadata(d)["resourceVersion"] = strconv.FormatInt(ev.Version, 10)
	if st.sel.namespace != "" && at(d, "metadata", "namespace") != st.sel.namespace {
		return
	}
	if st.shown == nil {
		st.send(ev.Type, d)
		return
	}
	matches, had := st.sel.matches(d), st.shown[id]
	switch {
	case ev.Type == "DELETED" && (had || matches):
		delete(st.shown, id)
		st.send("DELETED", d)
	case ev.Type == "DELETED":
	case matches && had || matches && st.untold && ev.Type == "MODIFIED":
		st.shown[id] = true
		st.send("MODIFIED", d)
	case matches:
		st.shown[id] = true
		st.send("ADDED", d)
	case had || st.untold && ev.Type == "MODIFIED":
		delete(st.shown, id)
		st.send("DELETED", d)
	}
}

func (st *stream) bookmark(version int64, initialEnd bool) {
	meta := world.Doc{"resourceVersion": strconv.FormatInt(version, 10), "creationTimestamp": nil}
	if initialEnd {
		meta["annotations"] = world.Doc{metav1.InitialEventsAnnotationKey: "true"}
	}
	st.write("BOOKMARK", world.Doc{"kind": st.res.kind, "apiVersion": st.res.apiVersion(), "metadata": meta})
}

// send tells one object in the form that was asked for.
func (st *stream) send(event string, d world.Doc) {
	if st.form != asTable {
		st.write(event, d)
		return
	}
	t, err := st.table([]world.Doc{d})
	if err != nil {
		st.write("ERROR", statusOf(err))
		return
	}
	t.ResourceVersion = at(d, "metadata", "resourceVersion")
	if st.headless {
		t.ColumnDefinitions = nil // kubectl prints its headers for each that it gets
	}
	st.headless = true
	st.write(event, t)
}

func (st *stream) write(event string, object any) {
	// An error means that the client has gone, which run sees by itself.
	_ = st.out.Encode(map[string]any{"type": event, "object": object})
	_ = st.flush.Flush()
}
