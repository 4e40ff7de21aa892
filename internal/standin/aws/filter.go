package aws

import (
	"fmt"
	"reflect"
	"strings"
)

// A filter is one condition of a Describe call: one of the values that path
// leads to is like one of want.
type filter struct {
	path   string // fields from the object, with dots; lists are walked through
	tagKey string // of a "tag:KEY" filter, whose path leads to the tags
	want   []string
}

// filters reads a call's Filter parameters. Those that may be used are in
// paths, by name; the tags, if the objects have any, are at tags.
func (c *call) filters(paths map[string]string, tags string) ([]filter, error) {
	var fs []filter
	for _, p := range c.params.at("Filter").list() {
		name := p.at("Name").value
		f := filter{want: p.at("Value").values()}
		key, tagged := strings.CutPrefix(name, "tag:")
		path, known := paths[name]
		switch {
		case known:
			f.path = path
		case tags != "" && tagged:
			f.path, f.tagKey = tags, key
		case tags != "" && (name == "tag-key" || name == "tag-value"):
			f.path = tags + map[string]string{"tag-key": ".Key", "tag-value": ".Value"}[name]
		default:
			return nil, c.invalid("The filter '%s' is invalid", name)
		}
		if len(f.want) == 0 {
			return nil, c.problem(missingParameter, "The request must contain the parameter %s.Value", p.name)
		}
		fs = append(fs, f)
	}
	return fs, nil
}

// matches reports whether v meets all of fs.
func matches(v reflect.Value, fs []filter) bool {
	for _, f := range fs {
		if !f.matches(v) {
			return false
		}
	}
	return true
}

func (f filter) matches(v reflect.Value) bool {
	found := false
	walk(v, strings.Split(f.path, "."), func(v reflect.Value) {
		if f.tagKey != "" {
			if text(v.FieldByName("Key")) != f.tagKey {
				return
			}
			v = v.FieldByName("Value")
		}
		for _, pattern := range f.want {
			found = found || like(pattern, text(v))
		}
	})
	return found
}

// walk calls visit for every value that path leads to.
func walk(v reflect.Value, path []string, visit func(reflect.Value)) {
	v, ok := present(v)
	switch {
	case !ok:
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			walk(v.Index(i), path, visit)
		}
	case len(path) == 0:
		visit(v)
	default:
		walk(v.FieldByName(path[0]), path[1:], visit)
	}
}

// text is a value as a filter names it; "" when there is none.
func text(v reflect.Value) string {
	if v, ok := present(v); ok {
		return fmt.Sprint(v.Interface())
	}
	return ""
}

// like reports whether s matches a filter value: * stands for any text, ? for
// one character, and a backslash takes their meaning away. The time is at
// most the product of the lengths, whatever the pattern.
func like(pattern, s string) bool {
	p, i := 0, 0
	star, mark := -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && pattern[p] == '?':
			p, i = p+1, i+1
		case p+1 < len(pattern) && pattern[p] == '\\' && pattern[p+1] == s[i]:
			p, i = p+2, i+1
		case p < len(pattern) && pattern[p] == s[i] && pattern[p] != '\\':
			p, i = p+1, i+1
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
