package l4

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestIsTypo(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"cart", "crat", true}, {"cart", "Cart", true}, {"my-cart", "my_cart", true}, {"cart", "carts", true}, {"checkout", "chekout", true},
		{"checkout", "chekcuot", true}, {"web", "wep", false},
		{"v1", "v2", false}, {"web-1", "web-2", false}, {"web", "web2", false}, {"blue", "green", false}, {"cart", "card2", false}, {"api", "app", false},
		{"a", "b", false}, {"", "web", false}, {"web", "", false},
	} {
		if got := isTypo(tt.a, tt.b); got != tt.want {
			t.Errorf("isTypo(%q, %q) = %v, want %v", tt.a, tt.b, got, tt.want)
		}
		if isTypo(tt.a, tt.b) != isTypo(tt.b, tt.a) {
			t.Errorf("isTypo(%q, %q) depends on the order", tt.a, tt.b)
		}
	}
}

func TestDiffer(t *testing.T) {
	m := func(kv ...string) map[string]string {
		out := map[string]string{}
		for i := 0; i < len(kv); i += 2 {
			out[kv[i]] = kv[i+1]
		}
		return out
	}
	for _, tt := range []struct {
		name             string
		selector, labels map[string]string
		want             difference
	}{
		{"equal", m("a", "x"), m("a", "x", "b", "y"), difference{fixed: m("a", "x"), guess: true}},
		{"typo", m("app", "crat", "t", "1"), m("app", "cart", "t", "1"), difference{keys: []string{"app"}, fixed: m("app", "cart", "t", "1"), guess: true, typo: true}},
		{"renamed", m("app", "cart"), m("name", "cart", "app2", "x"), difference{keys: []string{"app"}, fixed: m("name", "cart"), guess: true, renamed: true}},
		{"missing", m("app", "cart", "role", "leader"), m("app", "cart"), difference{keys: []string{"role"}, fixed: m("app", "cart")}},
	} {
		if diff := cmp.Diff(tt.want, differ(tt.selector, tt.labels), cmp.AllowUnexported(difference{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// FuzzIsTypo holds that it ends, is symmetric and takes a word for itself.
func FuzzIsTypo(f *testing.F) {
	f.Add("cart", "crat")
	f.Add("é", "e")
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a) > 63 || len(b) > 63 { // no label is longer
			return
		}
		if isTypo(a, b) != isTypo(b, a) || !isTypo(a, a) {
			t.Errorf("isTypo(%q, %q)", a, b)
		}
	})
}
