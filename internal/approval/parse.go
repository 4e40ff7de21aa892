package approval

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

// maxPolicy is the size of the largest policy file, in bytes.
const maxPolicy = 1 << 20

// LoadPolicy reads the policy file at path. Its errors are meant for the
// person who wrote the file, as in ParsePolicy.
func LoadPolicy(path string) (*Policy, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxPolicy+1))
	if err != nil {
		return nil, fmt.Errorf("read policy %s: %w", path, err)
	}
	return ParsePolicy(path, data)
}

// ParsePolicy reads a policy in YAML. Every mistake is a line of the error,
// "name:line: what is wrong; what was expected". Nothing is guessed: an
// unknown key, a doubled key or a value of another type is a mistake.
func ParsePolicy(name string, data []byte) (*Policy, error) {
	if len(data) > maxPolicy {
		return nil, fmt.Errorf("%s: larger than %d bytes; a policy is a short file", name, maxPolicy)
	}
	d := &policyReader{name: name}
	root, err := d.document(data)
	if err != nil {
		return nil, err
	}
	p := &Policy{}
	if root != nil {
		d.policy(root, p)
	}
	if len(d.errs) > 0 {
		return nil, errors.Join(d.errs...)
	}
	return p, nil
}

// A policyReader collects the mistakes of one file.
type policyReader struct {
	name string
	errs []error
}

func (d *policyReader) failf(n *yaml.Node, format string, args ...any) {
	d.errs = append(d.errs, fmt.Errorf("%s:%d: %s", d.name, n.Line, fmt.Sprintf(format, args...)))
}

// document returns the only document's root; nil for an empty file.
func (d *policyReader) document(data []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, next yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, d.syntax(err)
	}
	if err := dec.Decode(&next); err == nil {
		return nil, fmt.Errorf("%s:%d: a second document starts here; a policy is one document", d.name, next.Line)
	} else if !errors.Is(err, io.EOF) {
		return nil, d.syntax(err)
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil, nil
	}
	return root, nil
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): `)

// syntax puts the library's line number where editors look for it.
func (d *policyReader) syntax(err error) error {
	msg, line := err.Error(), "1"
	if m := yamlLine.FindStringSubmatch(msg); m != nil {
		msg, line = msg[len(m[0]):], m[1]
	}
	return fmt.Errorf("%s:%s: not valid YAML: %s", d.name, line, strings.TrimPrefix(msg, "yaml: "))
}

// keys calls read[key] on the value of each key of a mapping.
func (d *policyReader) keys(n *yaml.Node, what string, read map[string]func(*yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.failf(n, "%s is %s; expected keys: %s", what, describe(n), names(read))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		f, ok := read[key.Value]
		switch {
		case !ok:
			d.failf(key, "unknown key %q in %s%s; expected one of %s", key.Value, what, nearest(key.Value, read), names(read))
		case seen[key.Value]:
			d.failf(key, "key %q stands twice in %s; keep one", key.Value, what)
		default:
			f(value)
		}
		seen[key.Value] = true
	}
}

func (d *policyReader) policy(n *yaml.Node, p *Policy) {
	read := map[string]func(*yaml.Node){
		"team":               func(n *yaml.Node) { p.Team = d.id(n, "team", teamID) },
		"channels":           func(n *yaml.Node) { p.Channels = d.ids(n, "channels", channelID) },
		"read_only_clusters": func(n *yaml.Node) { p.ReadOnlyClusters = d.ids(n, "read_only_clusters", clusterName) },
	}
	for _, risk := range []remedy.Risk{remedy.Safe, remedy.Disruptive, remedy.Destructive} {
		read[risk.String()] = func(n *yaml.Node) { p.rules[risk] = d.rule(n, risk) }
	}
	d.keys(n, "the policy", read)
}

func (d *policyReader) rule(n *yaml.Node, risk remedy.Risk) Rule {
	r := defaultRule(risk)
	name := risk.String()
	votes := n
	d.keys(n, name, map[string]func(*yaml.Node){
		"approvers":         func(n *yaml.Node) { d.approvers(n, name, &r) },
		"approvals":         func(n *yaml.Node) { r.Approvals, votes = d.count(n, name+".approvals"), n },
		"asker_may_approve": func(n *yaml.Node) { r.AskerMayApprove = d.flag(n, name+".asker_may_approve") },
		"expires":           func(n *yaml.Node) { r.Expires = d.duration(n, name+".expires") },
	})
	switch {
	case risk == remedy.Destructive && r.Approvals == 1:
		d.failf(votes, "destructive.approvals is 1; expected at least %d: what cannot be undone takes two people", destructiveApprovals)
	case len(r.Groups) == 0 && len(r.Users) > 0 && r.Approvals > len(r.Users):
		d.failf(votes, "%s takes %d approvals, but only %d may approve; name more users, or a group", name, r.Approvals, len(r.Users))
	}
	return r
}

func (d *policyReader) approvers(n *yaml.Node, risk string, r *Rule) {
	what := risk + ".approvers"
	d.keys(n, what, map[string]func(*yaml.Node){
		"users":  func(n *yaml.Node) { r.Users = d.ids(n, what+".users", userID) },
		"groups": func(n *yaml.Node) { r.Groups = d.ids(n, what+".groups", groupID) },
	})
}

// An idForm is how an id looks and where to find one.
type idForm struct {
	re   *regexp.Regexp
	hint string
}

var (
	teamID      = idForm{regexp.MustCompile(`^[TE][A-Z0-9]{2,20}$`), "a workspace id such as T024BE7LD (it is in the address of Slack in a browser)"}
	channelID   = idForm{regexp.MustCompile(`^[CGD][A-Z0-9]{2,20}$`), "a channel id such as C024BE91L (it is at the bottom of the channel's details)"}
	userID      = idForm{regexp.MustCompile(`^[UW][A-Z0-9]{2,20}$`), "a member id such as U024BE7LH (Copy member ID in the person's profile)"}
	groupID     = idForm{regexp.MustCompile(`^S[A-Z0-9]{2,20}$`), "a user group id such as S0615G0KT (Copy group ID in the group's menu)"}
	clusterName = idForm{regexp.MustCompile(`^[0-9A-Za-z][A-Za-z0-9_.-]{0,99}$`), "the name of an EKS cluster"}
)

func (d *policyReader) id(n *yaml.Node, what string, form idForm) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || !form.re.MatchString(n.Value) {
		d.failf(n, "%s is %s; expected %s", what, describe(n), form.hint)
	}
	return n.Value
}

func (d *policyReader) ids(n *yaml.Node, what string, form idForm) []string {
	if n.Kind != yaml.SequenceNode {
		d.failf(n, "%s is %s; expected a list, as in [%s]", what, describe(n), n.Value)
		return nil
	}
	var ids []string
	for _, item := range n.Content {
		id := d.id(item, "an entry of "+what, form)
		if slices.Contains(ids, id) {
			d.failf(item, "%q stands twice in %s; keep one", id, what)
		}
		ids = append(ids, id)
	}
	return ids
}

func (d *policyReader) count(n *yaml.Node, what string) int {
	v, err := strconv.Atoi(n.Value)
	if err != nil || n.Tag != "!!int" || v < 1 || v > 20 {
		d.failf(n, "%s is %s; expected a whole number from 1 to 20", what, describe(n))
	}
	return v
}

func (d *policyReader) flag(n *yaml.Node, what string) bool {
	if n.Kind != yaml.ScalarNode || n.Value != "true" && n.Value != "false" {
		d.failf(n, "%s is %s; expected true or false", what, describe(n))
	}
	return n.Value == "true"
}

func (d *policyReader) duration(n *yaml.Node, what string) time.Duration {
	v, err := time.ParseDuration(n.Value)
	if err != nil || v < minExpires || v > maxExpires {
		d.failf(n, "%s is %s; expected a time from 1m to 168h, such as 30m or 4h", what, describe(n))
	}
	return v
}

// describe says what stands at n, for an error.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.AliasNode:
		return "an alias"
	case n.Tag == "!!null":
		return "empty"
	}
	return strconv.Quote(cut(n.Value, 60))
}

// names lists the keys of m for an error.
func names[V any](m map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}

// nearest returns `; did you mean "x"?` for the key of m that is most like
// key, and "" when none is like it at all.
func nearest[V any](key string, m map[string]V) string {
	key = cut(key, 40)
	best := facts.Nearest(key, slices.Sorted(maps.Keys(m)), 1)[0]
	if facts.Distance(key, best) > len(best)/2 {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// cut returns at most n bytes of s, whole characters only.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
