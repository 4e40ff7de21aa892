package aws

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A param is a node of the tree that a query protocol spells with dots:
// Filter.1.Value.2=x. A missing one reads as empty, so lookups can be chained.
type param struct {
	name  string // as the request writes it from its root
	value string
	set   bool
	kids  map[string]*param
}

var noParam = &param{}

// maxParamDepth is deeper than any parameter of these services.
const maxParamDepth = 12

// parseParams makes the tree of a request's form. Of a name that is given
// twice the first counts.
func parseParams(form url.Values) *param {
	root := &param{kids: map[string]*param{}}
	for name, values := range form {
		parts := strings.Split(name, ".")
		if len(parts) > maxParamDepth {
			parts = parts[:maxParamDepth]
		}
		p := root
		for i, part := range parts {
			kid, ok := p.kids[part]
			if !ok {
				kid = &param{name: strings.Join(parts[:i+1], "."), kids: map[string]*param{}}
				p.kids[part] = kid
			}
			p = kid
		}
		p.value, p.set = values[0], true
	}
	return root
}

// parseJSON makes the same tree of a JSON object: the elements of its lists
// are numbered from 1. A field that is null is not given.
func parseJSON(body []byte) (*param, error) {
	root := &param{kids: map[string]*param{}}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var doc map[string]any
	if err := dec.Decode(&doc); err != nil {
		return root, fmt.Errorf("the body is no JSON object: %w", err)
	}
	root.fill(doc, maxParamDepth)
	return root, nil
}

// fill puts a JSON value below p, at most depth levels of it.
func (p *param) fill(v any, depth int) {
	switch v := v.(type) {
	case map[string]any:
		for name, field := range v {
			p.add(name, field, depth)
		}
	case []any:
		for i, item := range v {
			p.add(strconv.Itoa(i+1), item, depth)
		}
	default:
		p.value, p.set = fmt.Sprint(v), true
	}
}

func (p *param) add(name string, v any, depth int) {
	if v == nil || depth == 0 {
		return
	}
	kid := &param{name: strings.TrimPrefix(p.name+"."+name, "."), kids: map[string]*param{}}
	p.kids[name] = kid
	kid.fill(v, depth-1)
}

// at returns the parameter at a path below p.
func (p *param) at(path ...string) *param {
	for _, part := range path {
		kid, ok := p.kids[part]
		if !ok {
			return noParam
		}
		p = kid
	}
	return p
}

// given reports whether the request has p or anything below it.
func (p *param) given() bool { return p.set || len(p.kids) > 0 }

// list returns the numbered parameters below p, in order.
func (p *param) list() []*param {
	type numbered struct {
		n int
		p *param
	}
	var found []numbered
	for name, kid := range p.kids {
		if n, err := strconv.Atoi(name); err == nil {
			found = append(found, numbered{n, kid})
		}
	}
	slices.SortFunc(found, func(a, b numbered) int { return cmp.Or(cmp.Compare(a.n, b.n), cmp.Compare(a.p.name, b.p.name)) })
	kids := make([]*param, len(found))
	for i, f := range found {
		kids[i] = f.p
	}
	return kids
}

// values returns the values of the numbered parameters below p.
func (p *param) values() []string {
	var vs []string
	for _, kid := range p.list() {
		vs = append(vs, kid.value)
	}
	return vs
}

// ptr returns p's value, nil when the request does not give it.
func (p *param) ptr() *string {
	if !p.set {
		return nil
	}
	return &p.value
}
