package kube

import (
	"encoding/json"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/hopwise/hopwise/internal/world"
)

// A form is the shape that a client wants of an answer.
type form int

const (
	asObject form = iota // JSON of the object itself
	asTable              // JSON of a meta.k8s.io/v1 Table: kubectl get
)

// acceptedForm chooses the first form of an Accept header that the server can
// give. Clients list the ones they prefer first.
func acceptedForm(accept []string) (form, error) {
	ranges := strings.Split(strings.Join(accept, ","), ",")
	if len(accept) == 0 || strings.TrimSpace(strings.Join(accept, "")) == "" {
		return asObject, nil
	}
	for _, r := range ranges {
		mediaType, params, err := mime.ParseMediaType(strings.TrimSpace(r))
		if err != nil || !slices.Contains([]string{"application/json", "application/*", "*/*", "text/plain"}, mediaType) {
			continue
		}
		switch as := params["as"]; {
		case as == "":
			return asObject, nil
		case as == "Table" && params["v"] == "v1" && params["g"] == "meta.k8s.io":
			return asTable, nil
		}
	}
	return asObject, statusError(http.StatusNotAcceptable, metav1.StatusReasonNotAcceptable,
		"only the following media types are accepted: application/json, application/json;as=Table;v=v1;g=meta.k8s.io")
}

// writeDoc answers with one object.
func (c *call) writeDoc(code int, d world.Doc) error {
	if c.form != asTable {
		writeJSON(c.w, code, d)
		return nil
	}
	t, err := c.table([]world.Doc{d})
	if err != nil {
		return err
	}
	t.ResourceVersion = at(d, "metadata", "resourceVersion")
	writeJSON(c.w, code, t)
	return nil
}

// writeList answers with a list of objects.
func (c *call) writeList(meta metav1.ListMeta, docs []world.Doc) error {
	if c.form == asTable {
		t, err := c.table(docs)
		if err != nil {
			return err
		}
		t.ListMeta = meta
		writeJSON(c.w, http.StatusOK, t)
		return nil
	}
	if docs == nil {
		docs = []world.Doc{}
	}
	writeJSON(c.w, http.StatusOK, struct {
		metav1.TypeMeta `json:",inline"`
		metav1.ListMeta `json:"metadata"`
		Items           []world.Doc `json:"items"`
	}{metav1.TypeMeta{Kind: c.res.kind + "List", APIVersion: c.res.apiVersion()}, meta, docs})
	return nil
}

// A rowFunc returns the cells of an object's row in a table, as of now.
type rowFunc func(d world.Doc, now time.Time) ([]any, error)

// rowOf makes a rowFunc of a function on the object's type.
func rowOf[T any](cells func(obj *T, now time.Time) []any) rowFunc {
	return func(d world.Doc, now time.Time) ([]any, error) {
		obj, err := world.Decode[T](d)
		if err != nil {
			return nil, err
		}
		return cells(&obj, now), nil
	}
}

// table prints docs as kubectl get shows them.
func (c *call) table(docs []world.Doc) (*metav1.Table, error) {
	t := &metav1.Table{TypeMeta: metav1.TypeMeta{Kind: "Table", APIVersion: "meta.k8s.io/v1"}, Rows: []metav1.TableRow{}, ColumnDefinitions: c.res.columnDefinitions()}
	row, now := c.res.row, time.Now()
	if row == nil {
		row = plainRow
	}
	for _, d := range docs {
		cells, err := row(d, now)
		if err != nil {
			return nil, err
		}
		t.Rows = append(t.Rows, metav1.TableRow{Cells: cells, Object: c.rowObject(d)})
	}
	return t, nil
}

// rowObject is what goes with a row, by the parameter includeObject.
func (c *call) rowObject(d world.Doc) runtime.RawExtension {
	switch c.query.Get("includeObject") {
	case "None":
		return runtime.RawExtension{}
	case "Object":
		return runtime.RawExtension{Raw: mustJSON(d)}
	}
	meta, _ := json.Marshal(metadata(d))
	return runtime.RawExtension{Raw: mustJSON(map[string]any{"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": json.RawMessage(meta)})}
}

func (r *resource) columnDefinitions() []metav1.TableColumnDefinition {
	names := r.columns
	if names == "" {
		names = "Name,Age"
	}
	var defs []metav1.TableColumnDefinition
	for _, name := range strings.Split(names, ",") {
		def := metav1.TableColumnDefinition{Name: strings.TrimPrefix(name, "+"), Type: "string"}
		if name == "Name" {
			def.Format = "name"
		}
		if strings.HasPrefix(name, "+") {
			def.Priority = 1
		}
		defs = append(defs, def)
	}
	return defs
}
