package kube

import (
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/world"
)

// present completes a document of the world to what an API server says of an
// object: its type, and a uid where the recording has none.
func (r *resource) present(d world.Doc) world.Doc {
	d["apiVersion"], d["kind"] = r.apiVersion(), r.kind
	m := metadata(d)
	if uid, _ := m["uid"].(string); uid == "" {
		m["uid"] = uidOf(facts.Kind("kube/"+r.plural), str(m, "namespace")+"/"+str(m, "name"))
	}
	return d
}

// uidOf is a uid that is the same in every run.
func uidOf(kind facts.Kind, id string) string {
	h := sha1.Sum([]byte(string(kind) + "/" + id))
	h[6], h[8] = h[6]&0x0f|0x50, h[8]&0x3f|0x80 // version 5, RFC 9562
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

// newUID is the uid of an object that is created now.
func newUID() string { return string(uuid.NewUUID()) }

func uidIn(d world.Doc) types.UID { return types.UID(str(metadata(d), "uid")) }

// metadata returns d's metadata, made if need be.
func metadata(d world.Doc) world.Doc {
	m, ok := d["metadata"].(world.Doc)
	if !ok {
		m = world.Doc{}
		d["metadata"] = m
	}
	return m
}

// str returns a text field of d, "" when it has none.
func str(d world.Doc, field string) string {
	v, _ := d[field].(string)
	return v
}

// at returns the text at a path in d as a selector sees it: "" for nothing.
func at(d world.Doc, path ...string) string {
	v, ok, err := unstructured.NestedFieldNoCopy(d, path...)
	if !ok || err != nil || v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// labelsOf returns d's labels; values that are no text are left out.
func labelsOf(d world.Doc) map[string]string {
	m, _ := metadata(d)["labels"].(world.Doc)
	labels := map[string]string{}
	for k, v := range m {
		if s, ok := v.(string); ok {
			labels[k] = s
		}
	}
	return labels
}

// createdAt returns when d was created; zero when it does not tell.
func createdAt(d world.Doc) metav1.Time {
	var t metav1.Time
	if b, err := json.Marshal(metadata(d)["creationTimestamp"]); err == nil {
		_ = t.UnmarshalJSON(b) // not a time: zero
	}
	return t
}

// clone returns a copy of d as JSON keeps it.
func clone(d world.Doc) world.Doc {
	var c world.Doc
	if err := json.Unmarshal(mustJSON(d), &c); err != nil {
		panic(fmt.Sprintf("kube: %v", err)) // it was marshalled just now
	}
	return c
}

func same(a, b any) bool { return reflect.DeepEqual(a, b) }

// mustJSON marshals plain data.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("kube: %v", err))
	}
	return b
}
