package resolve

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/coredns/caddy/caddyfile"
	"github.com/google/go-cmp/cmp"
)

// Corefiles as they are shipped or documented.
const (
	eksDefault = `.:53 {
    errors
    health {
        lameduck 5s
      }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
      pods insecure
      fallthrough in-addr.arpa ip6.arpa
    }
    prometheus :9153
    forward . /etc/resolv.conf
    cache 30
    loop
    reload
    loadbalance
}
`
	kubeadm = `.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30 {
       disable success cluster.local
       disable denial cluster.local
    }
    loop
    reload
    loadbalance
}
`
	nodeLocal = `cluster.local:53 {
    errors
    cache {
            success 9984 30
            denial 9984 5
    }
    reload
    loop
    bind 169.254.20.10 172.20.0.10
    forward . __PILLAR__CLUSTER__DNS__ {
            force_tcp
    }
    prometheus :9253
    health 169.254.20.10:8080
    }
in-addr.arpa:53 {
    errors
    cache 30
    reload
    loop
    bind 169.254.20.10 172.20.0.10
    forward . 10.100.0.11 {
            force_tcp
    }
    prometheus :9253
    }
.:53 {
    errors
    cache 30
    reload
    loop
    bind 169.254.20.10 172.20.0.10
    forward . /etc/resolv.conf
    prometheus :9253
    }
`
	stubs = `(common) {
    errors
    cache 30   # seconds
}
.:53 {
    import common
    health {
        lameduck 5s
    }
    ready
    rewrite name exact db.corp.example db.prod.svc.cluster.local
    rewrite stop {
        name regex (.*)\.shop\.internal {1}.shop.svc.cluster.local
        answer name (.*)\.shop\.svc\.cluster\.local {1}.shop.internal
    }
    hosts {
        10.1.2.3 legacy.example.com old.example.com
        fallthrough
    }
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods verified
        fallthrough in-addr.arpa ip6.arpa
    }
    autopath @kubernetes
    forward . tls://1.1.1.1 tls://1.0.0.1 {
        tls_servername cloudflare-dns.com
        except corp.example
        policy sequential
        health_check 5s
    }
    loop
    import custom/*.override
}
consul.local:53 {
    import common
    forward . 10.150.0.1
}
import custom/*.server
`
)

func parsed(t *testing.T, text string) *Corefile {
	t.Helper()
	c, err := ParseCorefile(text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return c
}

func TestCorefileModel(t *testing.T) {
	c := parsed(t, eksDefault)
	b := &c.Blocks[0]
	k := b.Kubernetes()[0]
	want := Kubernetes{Zones: []string{"cluster.local.", "in-addr.arpa.", "ip6.arpa."}, Fallthrough: []string{"in-addr.arpa.", "ip6.arpa."}, Pods: "insecure", TTL: 5e9, Line: 7}
	if d := cmp.Diff(want, k); d != "" {
		t.Error(d)
	}
	if f := b.Forwards()[0]; f.From != "." || f.To[0].File != "/etc/resolv.conf" || f.Line != 12 {
		t.Errorf("forward is %+v", f)
	}
	if b.Line != 1 || b.End != 17 || b.Label() != ".:53" || !b.Serves(".") {
		t.Errorf("block is %+v", b)
	}
	c = parsed(t, stubs)
	f := c.Blocks[0].Forwards()[0]
	if f.To[0].Addr != netip.MustParseAddrPort("1.1.1.1:853") || f.Policy != "sequential" || f.Takes("x.corp.example.") || !f.Takes("example.com.") {
		t.Errorf("forward is %+v", f)
	}
	if len(c.Unread) != 2 || c.Unread[0].What != "import custom/*.override" || c.Unread[1].In != "" || c.Unread[0].In != ".:53" {
		t.Errorf("unread is %+v", c.Unread)
	}
	if p := c.Blocks[1].All("cache")[0]; p.Snippet != "common" || p.Line != 3 {
		t.Errorf("cache is %+v", p)
	}
}

func TestZones(t *testing.T) {
	for key, want := range map[string]string{
		".":                 "dns://.:53",
		".:53":              "dns://.:53",
		":5353":             "dns://.:5353",
		"tls://Example.ORG": "tls://example.org.:853",
		"grpc://.":          "grpc://.:443",
		"10.0.0.0/8":        "dns://10.in-addr.arpa.:53",
		"10.0.0.0/15":       "dns://0.10.in-addr.arpa.:53 dns://1.10.in-addr.arpa.:53",
		"10.1.2.0/24:54":    "dns://2.1.10.in-addr.arpa.:54",
		"2001:db8::/32":     "dns://8.b.d.0.1.0.0.2.ip6.arpa.:53",
		"2001:db8::/31":     "dns://8.b.d.0.1.0.0.2.ip6.arpa.:53 dns://9.b.d.0.1.0.0.2.ip6.arpa.:53",
		"bad..name":         "error",
		"x:":                "error",
		"":                  "error",
		"::/0":              "error",
	} {
		zones, err := zonesOf(key)
		var got []string
		for _, z := range zones {
			got = append(got, z.String())
		}
		if s := strings.Join(got, " "); s != want && (err == nil || want != "error") {
			t.Errorf("%q is %q, %v; want %q", key, s, err, want)
		}
	}
}

func TestCorefileErrors(t *testing.T) {
	for text, want := range map[string]string{
		".:53 {\n  errrors\n}\n":                   "Corefile:2 - Error during parsing: Unknown directive 'errrors'",
		".:53 {\n  proxy . 1.1.1.1\n}\n":           "Corefile:2 - Error during parsing: Unknown directive 'proxy'",
		".:53 {\n  errors\n":                       "Corefile:2 - Error during parsing: Unexpected token 'errors', expecting '}'",
		".:53 {\n  health {\n":                     "Corefile:2 - Error during parsing: Unexpected EOF",
		".:53, {\n}\n":                             "Corefile:1 - Error during parsing: Expected another address but had '{' - check for extra comma",
		".:53 {\n errors }\n":                      "Corefile:2 - Error during parsing: Unexpected '}' because no matching opening brace",
		"(a) {\n errors\n}\n(a) {\n log\n}\n":      "Corefile:4 - Error during parsing: redeclaration of previously declared snippet a",
		"(a) {\n import a\n}\n. {\n}\n":            "Corefile:2 - Error during parsing: maximum snippet import depth (10000) exceeded",
		"(a) {\n errors\n}\n. {\n import a b\n}\n": "Corefile:5 - Error during parsing: Import takes only one argument (glob pattern or file)",
		". {\n import\n}\n":                        "Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after 'import'",
		"a..b {\n}\n":                              "Corefile:1 - Error during parsing: zone is not a valid domain name: a..b",
	} {
		_, err := ParseCorefile(text)
		if err == nil || err.Error() != want {
			t.Errorf("%q gives %v, want %s", text, err, want)
		}
	}
}

// TestExpansion: imports of snippets cannot grow without bounds.
func TestExpansion(t *testing.T) {
	text := "(a) {\n log " + strings.Repeat("x ", 1000) + "\n}\n"
	for i := range 20 {
		from, to := string(rune('a'+i)), string(rune('b'+i))
		text += "(" + to + ") {\n import " + from + "\n import " + from + "\n}\n"
	}
	if _, err := ParseCorefile(text + ". {\n import u\n}\n"); err == nil {
		t.Error("a million copies are no error")
	}
}

func TestLint(t *testing.T) {
	own := netip.MustParseAddr("172.20.0.10")
	for _, healthy := range []string{eksDefault, kubeadm, stubs, nodeLocal} {
		if p := parsed(t, healthy).Lint(own); len(p) > 0 {
			t.Errorf("%v in\n%s", p, healthy)
		}
	}
	block := func(plugins string) string { return strings.Replace(eksDefault, "    loadbalance\n", plugins, 1) }
	for text, want := range map[string]string{
		block("    proxy . 1.1.1.1\n"):                                    "line 16: proxy: Unknown directive 'proxy': it was removed in CoreDNS 1.5; write forward instead",
		strings.Replace(eksDefault, "pods insecure", "upstream", 1):       "line 8: kubernetes: unknown property 'upstream': it was removed in CoreDNS 1.7; delete it, names are looked up without",
		strings.Replace(eksDefault, "pods insecure", "pods maybe", 1):     "line 8: kubernetes: pods: wrong value maybe, must be one of: disabled, verified, insecure",
		strings.Replace(eksDefault, "/etc/resolv.conf", "172.20.0.10", 1): "line 12: forward: 172.20.0.10 is the cluster's own DNS: queries go round in a loop",
		strings.Replace(eksDefault, "/etc/resolv.conf", "127.0.0.1", 1):   "line 12: forward: 127.0.0.1 is CoreDNS itself in its pod: queries go round in a loop",
		strings.Replace(eksDefault, "/etc/resolv.conf", "dns.corp", 1):    `line 12: forward: not an IP address or file: "dns.corp"`,
		strings.Replace(eksDefault, " /etc/resolv.conf", "", 1):           "line 12: forward: Wrong argument count or unexpected line ending after '.'",
		strings.Replace(eksDefault, "    ready\n", "", 1):                 "line 1: ready: block .:53 has none: a readiness probe of /ready on port 8181 fails, or pods get queries before they know the cluster's names",
		strings.Replace(eksDefault, "        lameduck 5s\n", "", 1):       "line 3: health: no lameduck: a pod that ends stops to answer at once, while queries still come to it",
		strings.Replace(eksDefault, "lameduck 5s", "lameduck 5", 1):       `line 4: health: lameduck: time: missing unit in duration "5"`,
		strings.Replace(eksDefault, "    reload", "    reload 1s", 1):     "line 15: reload: interval value must be greater or equal to 2s",
		eksDefault + ".:53 {\n    errors\n}\n":                            "line 18: cannot serve dns://.:53 - it is already defined (line 1)",
		block("    cache 10\n"):                                           "line 16: cache: this plugin can only be used once per Server Block",
		block("    rewrite name sufix a b\n"):                             "line 16: rewrite: name rule supports only exact, prefix, suffix, substring, and regex name matching, received: sufix",
		strings.Replace(eksDefault, "loop", "loop 5", 1):                  "line 14: loop: Wrong argument count or unexpected line ending after '5'",
	} {
		got := Check(text, own)
		if len(got) != 1 || got[0].String() != want {
			t.Errorf("%v\nwant %s in\n%s", got, want, text)
		}
	}
}

func TestRoute(t *testing.T) {
	text := stubs + "example.org:53 {\n    forward . 9.9.9.9\n    template IN A x.example.org {\n        match ^a\\.\n        answer \"{{ .Name }} 60 IN A 1.2.3.4\"\n        fallthrough\n    }\n}\n"
	c := parsed(t, text)
	for name, want := range map[string]string{
		"web.shop.svc.cluster.local": ".:53 cache:passes rewrite:passes autopath:passes hosts:passes kubernetes:answers",
		"DB.corp.example.":           ".:53 cache:passes rewrite:rewrites autopath:passes hosts:passes kubernetes:answers",
		"web.shop.internal":          ".:53 cache:passes rewrite:rewrites autopath:passes hosts:passes kubernetes:answers",
		"legacy.example.com":         ".:53 cache:passes rewrite:passes autopath:passes hosts:answers",
		"example.com":                ".:53 cache:passes rewrite:passes autopath:passes hosts:passes forward:answers",
		"1.0.0.10.in-addr.arpa":      ".:53 cache:passes rewrite:passes autopath:passes hosts:passes kubernetes:may answer forward:answers",
		"x.corp.example":             ".:53 cache:passes rewrite:passes autopath:passes hosts:passes :refuses",
		"web.consul.local":           "consul.local:53 cache:passes forward:answers",
		"a.x.example.org":            "example.org:53 template:answers",
		"b.x.example.org":            "example.org:53 template:passes forward:answers",
	} {
		b, chain := c.Route(name)
		got := []string{b.Label()}
		for _, l := range chain {
			name := ""
			if l.Plugin != nil {
				name = l.Plugin.Name
			}
			got = append(got, name+":"+string(l.Does))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s goes %s\nwant %s", name, s, want)
		}
	}
	if b, _ := parsed(t, strings.ReplaceAll(eksDefault, ":53", ":1053")).Route("x"); b == nil {
		t.Error("a file without port 53 serves nothing")
	}
	if b, chain := parsed(t, "x.org {\n whoami\n}\n").Route("y.org"); b != nil || chain[0].Does != Refuses {
		t.Errorf("a name of no block goes %v", chain)
	}
}

func TestDiff(t *testing.T) {
	old := parsed(t, eksDefault)
	changed := strings.NewReplacer("pods insecure", "pods verified", "    ready\n", "", "/etc/resolv.conf", "10.0.0.2 # comment", "    loop", "    loop\n    log").Replace(eksDefault)
	want := strings.Join([]string{
		"- .:53: ready", "- .:53: kubernetes: pods insecure", "+ .:53: kubernetes: pods verified",
		"~ .:53: forward . /etc/resolv.conf -> forward . 10.0.0.2", "+ .:53: log", "+ block corp.example:53: errors; cache 30; forward . 10.9.9.9",
	}, "\n")
	if d := cmp.Diff(want, Diff(old, parsed(t, changed+"corp.example {\n errors\n cache 30\n forward . 10.9.9.9\n}"))); d != "" {
		t.Error(d)
	}
	if d := Diff(old, parsed(t, "# new\n"+strings.ReplaceAll(eksDefault, "    ", "\t"))); d != "" {
		t.Errorf("blanks differ: %s", d)
	}
}

func TestEdits(t *testing.T) {
	c := parsed(t, stubs)
	text, err := c.AddStub("corp.example", "10.9.9.9", "10.9.9.10:5353")
	if err != nil || !strings.HasPrefix(text, stubs) || !strings.HasSuffix(text, "corp.example:53 {\n    errors\n    cache 30\n    forward . 10.9.9.9 10.9.9.10:5353\n}\n") {
		t.Errorf("%v\n%s", err, text)
	}
	text, err = c.SetForward("consul.local", "10.150.0.2")
	if err != nil || text != strings.Replace(stubs, "10.150.0.1", "10.150.0.2", 1) {
		t.Errorf("%v\n%s", err, text)
	}
	commented := strings.Replace(kubeadm, "forward . /etc/resolv.conf {", "forward . /etc/resolv.conf {  # the VPC", 1)
	text, err = parsed(t, commented).SetForward(".", "10.0.0.2", "10.0.0.3")
	if err != nil || text != strings.Replace(commented, "/etc/resolv.conf", "10.0.0.2 10.0.0.3", 1) {
		t.Errorf("%v\n%s", err, text)
	}
	text, err = parsed(t, strings.Replace(eksDefault, "    ready\n", "", 1)).AddPlugin(".:53", "ready")
	if err != nil || text != strings.Replace(strings.Replace(eksDefault, "    ready\n", "", 1), "\n}\n", "\n    ready\n}\n", 1) {
		t.Errorf("%v\n%s", err, text)
	}
	text, err = parsed(t, eksDefault).RemovePlugin(".", "health")
	if err != nil || text != strings.Replace(eksDefault, "    health {\n        lameduck 5s\n      }\n", "", 1) {
		t.Errorf("%v\n%s", err, text)
	}
	crlf := strings.ReplaceAll(eksDefault, "\n", "\r\n")
	if text, err = parsed(t, crlf).AddPlugin(".", "log"); err != nil || strings.Count(text, "\n") != strings.Count(text, "\r\n") {
		t.Errorf("%v\n%q", err, text)
	}
}

func TestEditsRefused(t *testing.T) {
	c := parsed(t, stubs)
	edits := map[string]func() (string, error){
		"zone served already":  func() (string, error) { return c.AddStub("consul.local", "1.1.1.1") },
		"words of the lexer":   func() (string, error) { return c.AddStub("x.org", "1.1.1.1 }\n. {") },
		"no upstream":          func() (string, error) { return c.AddStub("x.org") },
		"plugin from snippet":  func() (string, error) { return c.RemovePlugin(".", "errors") },
		"plugin there already": func() (string, error) { return c.AddPlugin(".", "ready") },
		"unknown plugin":       func() (string, error) { return c.AddPlugin(".", "readdy") },
		"no such block":        func() (string, error) { return c.AddPlugin("x.org", "ready") },
		"block on one line":    func() (string, error) { return parsed(t, ". { }\n").AddPlugin(".", "ready") },
		"no braces":            func() (string, error) { return parsed(t, ".\nerrors\n").AddStub("x.org", "1.1.1.1") },
	}
	for why, edit := range edits {
		if text, err := edit(); err == nil || text != "" {
			t.Errorf("%s: %v\n%s", why, err, text)
		}
	}
}

// words of all directives of a block, as CoreDNS groups them.
func grouped(b *Block) map[string][]string {
	out := map[string][]string{}
	for i := range b.Plugins {
		for _, w := range b.Plugins[i].tokens {
			out[b.Plugins[i].Name] = append(out[b.Plugins[i].Name], w.text)
		}
	}
	return out
}

func FuzzCorefile(f *testing.F) {
	for _, s := range []string{eksDefault, kubeadm, nodeLocal, stubs, "", ".", "{", "a,\nb {\n}", "(x) {\n}\n. {\nimport x\n}", "\ufeff. {\nlog \"a\nb\" {\n} \n}", "10.0.0.0/9 {\n}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCorefile(text)
		likeCoreDNS(t, text, c, err)
		if err != nil {
			return
		}
		c.Lint(netip.MustParseAddr("172.20.0.10"))
		c.Route("web.shop.svc.cluster.local")
		if d := Diff(c, c); d != "" && len(c.byLabel()) == len(c.Blocks) {
			t.Errorf("differs from itself: %s", d)
		}
		stub, err := c.AddStub("corp.example", "10.0.0.2")
		if err == nil && !strings.HasPrefix(stub, text) {
			t.Errorf("AddStub changed what was there: %q", stub)
		}
		for _, b := range c.Blocks {
			for _, p := range b.Plugins {
				c.RemovePlugin(b.Zones[0].Name, p.Name)
			}
			c.SetForward(b.Zones[0].Name, "10.0.0.2")
			if more, err := c.AddPlugin(b.Zones[0].Name, "nsid"); err == nil && len(more) <= len(text) {
				t.Errorf("AddPlugin added nothing: %q", more)
			}
		}
	})
}

// likeCoreDNS compares with CoreDNS's own parser, which must not see imports
// of files nor variables: it would read those of this machine.
func likeCoreDNS(t *testing.T, text string, c *Corefile, err error) {
	if strings.Contains(text, "import") || strings.Contains(text, "{$") || strings.Contains(text, "{%") || strings.Count(text, "{") > maxNesting {
		return
	}
	compare(t, text, c, err)
}

// TestSnippets compares the expansion of snippets with CoreDNS's own.
func TestSnippets(t *testing.T) {
	for _, text := range []string{
		strings.NewReplacer("    import custom/*.override\n", "", "import custom/*.server\n", "").Replace(stubs),
		"(opts) {\n max_fails 3\n}\n. {\n forward . 1.1.1.1 {\n import opts\n policy random\n }\n}\n",
		"(zones) {\n a.example, b.example\n}\nimport zones\nc.example {\n errors\n}\n",
		"(a) {\n errors\n}\n(b) {\n import a\n log\n}\n. {\n import b\n import b\n}\n",
		"(empty) {\n}\n. {\n import empty\n}\nimport empty\n",
	} {
		c, err := ParseCorefile(text)
		compare(t, text, c, err)
	}
}

func compare(t *testing.T, text string, c *Corefile, err error) {
	t.Helper()
	theirs, theirErr := caddyfile.Parse("Corefile", strings.NewReader(text), directives)
	if theirErr != nil {
		if err == nil {
			t.Errorf("CoreDNS refuses %q: %v", text, theirErr)
		}
		return
	}
	if err != nil {
		for _, b := range theirs {
			for _, k := range b.Keys {
				if _, bad := zonesOf(k); bad != nil {
					return // its parser leaves names of zones to later
				}
			}
		}
		t.Fatalf("CoreDNS accepts %q: %v", text, err)
	}
	if len(theirs) != len(c.Blocks) {
		t.Fatalf("%d blocks, want %d in %q", len(c.Blocks), len(theirs), text)
	}
	for i := range theirs {
		want := map[string][]string{}
		for name, list := range theirs[i].Tokens {
			for _, w := range list {
				want[name] = append(want[name], w.Text)
			}
		}
		if d := cmp.Diff(want, grouped(&c.Blocks[i])); d != "" {
			t.Errorf("block %d of %q: %s", i, text, d)
		}
	}
}

func TestOrder(t *testing.T) {
	for _, pair := range [][2]string{{"cache", "rewrite"}, {"rewrite", "kubernetes"}, {"template", "hosts"}, {"hosts", "kubernetes"}, {"kubernetes", "forward"}} {
		if slices.Index(directives, pair[0]) >= slices.Index(directives, pair[1]) {
			t.Errorf("%v in the wrong order", pair)
		}
	}
}

// TestEditsUndo: an edit and its opposite give back every byte.
func TestEditsUndo(t *testing.T) {
	for _, text := range []string{eksDefault, kubeadm, strings.ReplaceAll(eksDefault, "    ", "\t"), strings.ReplaceAll(kubeadm, "\n", "\r\n"), "# mine\n" + eksDefault + "# end"} {
		for _, plugin := range []string{"log", "nsid", "debug"} {
			more, err := parsed(t, text).AddPlugin(".", plugin)
			if err != nil {
				t.Fatal(err)
			}
			if less, err := parsed(t, more).RemovePlugin(".", plugin); err != nil || less != text {
				t.Errorf("%v: %q\nwant %q", err, less, text)
			}
		}
		there, err := parsed(t, text).SetForward(".", "10.0.0.2")
		if err != nil {
			t.Fatal(err)
		}
		if back, err := parsed(t, there).SetForward(".", "/etc/resolv.conf"); err != nil || back != text {
			t.Errorf("%v: %q\nwant %q", err, back, text)
		}
	}
}
