package world

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/hopwise/hopwise/internal/facts"
)

// files are the scenarios that the program carries.
//
//go:embed scenarios/*.txtar
var files embed.FS

// A Scenario is what a scenario file says beside its objects.
type Scenario struct {
	Name   string
	Title  string       // first sentence of the file
	Ask    string       // what a person types
	Region string       //
	Target facts.Target // what the question names
	Want   []Want       // the findings of a correct report, causes first
	After  string       // verdict after the first remedy of the first finding: "fixed" unless stated; "none": no remedy can be run
	Stays  bool         // undoing the remedy does not bring the fault back: what was made in the meantime is kept ("undo: stays")
	Faults []Fault      // what the APIs refuse or do badly
	Truth  Truth        // what no API tells
	Base   string       // the scenario that this one changes; "" for none
}

// A Want is one finding that a correct report has.
type Want struct{ Check, Subject string }

// A Fault makes one permission's calls fail.
type Fault struct {
	Permission string // ec2:DescribeSubnets, list pods
	How        string // deny, throttle, hang, error
	Times      int    // how many calls; 0: all of them
}

// Reason is the gap that a fault for good leaves.
func (f Fault) Reason() facts.Reason {
	return map[string]facts.Reason{"deny": facts.Denied, "throttle": facts.Throttled, "hang": facts.TimedOut, "error": facts.Unreachable}[f.How]
}

// FaultOf returns the fault of a permission.
func (s *Scenario) FaultOf(permission string) (Fault, bool) {
	for _, f := range s.Faults {
		if f.Permission == permission {
			return f, true
		}
	}
	return Fault{}, false
}

// Truth is what is so in the world and no API tells: the controllers act on
// it when something changes.
type Truth struct {
	Apps []App `json:"apps,omitempty"`
}

// An App is how the processes in some pods behave.
type App struct {
	Namespace string            `json:"namespace"`
	Labels    map[string]string `json:"labels"`           // of the pods
	Paths     map[string]int    `json:"paths,omitempty"`  // HTTP status by path; others answer 404, none at all: 200
	Delay     string            `json:"delay,omitempty"`  // before it answers, such as 8s
	Broken    bool              `json:"broken,omitempty"` // never becomes ready, whatever is done around it
	// BrokenWhile is a text that keeps the pods from getting ready, such as a
	// typing error in the Corefile; nil: none does.
	BrokenWhile *Text `json:"brokenWhile,omitempty"`
}

// Names lists the embedded scenarios. Bases, whose names begin with "base-",
// are left out.
func Names() []string {
	var names []string
	entries, _ := fs.ReadDir(files, "scenarios")
	for _, e := range entries {
		if name := strings.TrimSuffix(e.Name(), ".txtar"); !strings.HasPrefix(name, "base-") {
			names = append(names, name)
		}
	}
	return names
}

// Load returns the embedded scenario with a name. Its error names those that
// there are.
func Load(name string) (*World, error) {
	data, err := files.ReadFile("scenarios/" + path.Base(name) + ".txtar")
	if err != nil {
		return nil, fmt.Errorf("no scenario %q; did you mean %s? (--list shows all)", name, strings.Join(facts.Nearest(name, Names(), 3), ", "))
	}
	return Parse(name, data)
}

// Parse reads a scenario file. Its errors give file, line and what was
// expected there.
func Parse(name string, data []byte) (*World, error) {
	file := name + ".txtar"
	a := txtar.Parse(data)
	w := &World{docs: map[facts.Kind]map[string]entry{}, watchers: map[*watcher]bool{}, now: time.Now, at: RecordedAt}
	w.Scenario = Scenario{Name: name, Region: "eu-west-1", After: "fixed", Base: defaultBase}
	if err := w.readHeader(file, string(a.Comment)); err != nil {
		return nil, err
	}
	if w.Base != "" {
		if err := w.readBase(file); err != nil {
			return nil, err
		}
	}
	if err := w.readObjects(file, a); err != nil {
		return nil, err
	}
	return w, nil
}

// readBase takes over the objects and the truth of the scenario that this one
// changes, and of those that that one changes. What the bases ask and want
// does not count.
func (w *World) readBase(file string) error {
	var bases []string
	for name := w.Base; name != "none"; {
		data, err := files.ReadFile("scenarios/" + name + ".txtar")
		if err != nil || slices.Contains(bases, name) {
			return fmt.Errorf("%s: base %q is not one of the embedded scenarios, or its own base", file, name)
		}
		bases = append(bases, name)
		name = baseOf(string(txtar.Parse(data).Comment))
	}
	slices.Reverse(bases)
	return w.takeOver(bases)
}

// parsed keeps what embedded bases hold, by their names: they never change,
// and reading them is most of the work of reading a scenario.
var parsed sync.Map

// takeOver merges the objects of bases, the first one first.
func (w *World) takeOver(bases []string) error {
	key := strings.Join(bases, " ")
	if got, ok := parsed.Load(key); ok {
		o := got.(*World)
		w.Truth, w.version = o.Truth, o.version
		for kind, list := range o.docs {
			w.docs[kind] = maps.Clone(list)
		}
		return nil
	}
	o := &World{docs: map[facts.Kind]map[string]entry{}}
	for _, name := range bases {
		data, _ := files.ReadFile("scenarios/" + name + ".txtar") // readBase has read it before
		if err := o.readObjects(name+".txtar", txtar.Parse(data)); err != nil {
			return err
		}
	}
	parsed.Store(key, o)
	return w.takeOver(bases)
}

// baseOf is the base that a scenario's comment names.
func baseOf(comment string) string {
	for line := range strings.Lines(comment) {
		if value, ok := strings.CutPrefix(line, "base:"); ok {
			return strings.TrimSpace(value)
		}
	}
	return defaultBase
}

// readObjects merges a scenario's files into the world.
func (w *World) readObjects(file string, a *txtar.Archive) error {
	line := bytes.Count(a.Comment, []byte("\n"))
	for _, f := range a.Files {
		line++ // the "-- name --" line itself
		if err := w.readFile(file, line, f); err != nil {
			return err
		}
		line += bytes.Count(f.Data, []byte("\n"))
	}
	return nil
}

// defaultBase is what scenarios change unless they name another base.
const defaultBase = "base-shop"

// header are the keys that a scenario's comment may have.
var header = []string{"ask", "want", "deny", "fault", "after", "undo", "base", "region", "target"}

// readHeader reads the comment: sentences, then "key: value" lines. A line of
// prose may hold a colon, but not as its first word's end.
func (w *World) readHeader(file, comment string) error {
	var prose []string
	defer func() { w.Title = sentence(prose) }()
	for i, line := range strings.Split(comment, "\n") {
		key, value, ok := strings.Cut(line, ":")
		if !ok || strings.ContainsAny(key, " \t") || line == "" || line[0] == '#' {
			prose = append(prose, strings.TrimSpace(strings.TrimPrefix(line, "#")))
			continue
		}
		value = strings.TrimSpace(value)
		fail := func(want string) error {
			return fmt.Errorf("%s:%d: %s: %s: want %s", file, i+1, key, value, want)
		}
		fields := strings.Fields(value)
		switch key {
		case "ask":
			w.Ask = value
		case "region":
			w.Region = value
		case "base":
			w.Base = value
			if value == "none" {
				w.Base = ""
			}
		case "want":
			if len(fields) != 2 {
				return fail("a check and a subject, such as l3/subnet-ip-exhausted ec2/subnets/subnet-1")
			}
			w.Want = append(w.Want, Want{fields[0], fields[1]})
		case "after":
			if !slices.Contains([]string{"fixed", "persists", "moved", "unverified", "none"}, value) {
				return fail("fixed, persists, moved, unverified or none")
			}
			w.After = value
		case "undo":
			if value != "stays" && value != "back" {
				return fail("back or stays")
			}
			w.Stays = value == "stays"
		case "target":
			ns, name, _ := strings.Cut(value, "/")
			w.Target = facts.Target{Namespace: ns, Name: name}
		case "deny":
			if !knownPermission(value) {
				return fail("a permission that is read, one of " + strings.Join(facts.Nearest(value, permissions(), 3), ", "))
			}
			w.Faults = append(w.Faults, Fault{Permission: value, How: "deny"})
		case "fault":
			how := slices.IndexFunc(fields, func(f string) bool { return slices.Contains([]string{"throttle", "hang", "error"}, f) })
			if how < 1 || !knownPermission(strings.Join(fields[:how], " ")) {
				return fail("PERMISSION throttle|hang|error [TIMES], such as ec2:DescribeSubnets throttle 2")
			}
			f := Fault{Permission: strings.Join(fields[:how], " "), How: fields[how]}
			if len(fields) > how+1 {
				n, err := strconv.Atoi(fields[how+1])
				if err != nil || n < 1 {
					return fail("a number of calls, 1 or more, at its end")
				}
				f.Times = n
			}
			w.Faults = append(w.Faults, f)
		default:
			return fmt.Errorf("%s:%d: unknown key %q; did you mean %s?", file, i+1, key, strings.Join(facts.Nearest(key, header, 2), " or "))
		}
	}
	return nil
}

func permissions() []string {
	var ps []string
	for _, n := range facts.Needs {
		ps = append(ps, n.Permission())
	}
	return ps
}

func knownPermission(p string) bool { return slices.Contains(permissions(), p) }

// readFile merges one file's objects into the world.
func (w *World) readFile(file string, line int, f txtar.File) error {
	name := strings.TrimSuffix(strings.TrimSuffix(f.Name, ".yaml"), ".json")
	if f.Name == "report" {
		return nil
	}
	raw, err := yaml.YAMLToJSON(f.Data)
	if err != nil {
		return fmt.Errorf("%s:%d: %s: %w", file, line+yamlLine(err), f.Name, err)
	}
	if name == "truth" {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		w.Truth = Truth{} // a scenario's truth takes the place of its base's
		if err := dec.Decode(&w.Truth); err != nil {
			return fmt.Errorf("%s:%d: %s: %w", file, line+fieldLine(err, f.Data), f.Name, err)
		}
		return nil
	}
	kind := facts.Kind(name)
	if !knownKind(kind) {
		return fmt.Errorf("%s:%d: %s is no kind of fact; did you mean %s?", file, line, f.Name, strings.Join(facts.Nearest(name, kindNames(), 3), ", "))
	}
	var doc Doc
	if err := json.Unmarshal(raw, &doc); err != nil {
		return fmt.Errorf("%s:%d: %s: want an object with the list %q: %w", file, line+1, f.Name, listField(kind), err)
	}
	list, ok := doc[listField(kind)].([]any)
	if !ok {
		return fmt.Errorf("%s:%d: %s: want a list named %q", file, line+1, f.Name, listField(kind))
	}
	for i, item := range list {
		d, ok := item.(Doc)
		if !ok {
			return fmt.Errorf("%s:%d: %s: item %d is no object", file, line+1, f.Name, i+1)
		}
		if err := w.merge(kind, d); err != nil {
			return fmt.Errorf("%s:%d: %s: item %d: %w", file, line+fieldLine(err, f.Data), f.Name, i+1, err)
		}
	}
	return nil
}

// merge lays d over the object with the same id (RFC 7386), which is how a
// scenario says in few lines how it differs from its base. With "$patch":
// "replace" d takes its place, with "delete" it goes.
func (w *World) merge(kind facts.Kind, d Doc) error {
	id, err := ID(kind, d)
	if err != nil {
		return err
	}
	patch, _ := d["$patch"].(string)
	delete(d, "$patch")
	if patch == "delete" {
		if _, ok := w.docs[kind][id]; !ok {
			return fmt.Errorf("%q: $patch: delete of an object that the base does not have", id)
		}
		delete(w.docs[kind], id)
		return nil
	}
	if old, ok := w.docs[kind][id]; ok && patch != "replace" {
		d = mergeDoc(decode(old.raw), d)
	}
	if err := strict(kind, d); err != nil {
		return fmt.Errorf("%q: %w", id, err)
	}
	w.version++
	if w.docs[kind] == nil {
		w.docs[kind] = map[string]entry{}
	}
	w.docs[kind][id] = entry{encode(d), w.version}
	return nil
}

func mergeDoc(into, patch Doc) Doc {
	for k, v := range patch {
		sub, ok := v.(Doc)
		old, had := into[k].(Doc)
		switch {
		case v == nil:
			delete(into, k)
		case ok && had:
			into[k] = mergeDoc(old, sub)
		default:
			into[k] = v
		}
	}
	return into
}

// strict reports a field that the API's own type does not have.
func strict(kind facts.Kind, d Doc) error {
	for _, n := range facts.Needs {
		if n.Kind() == kind {
			return n.(interface{ Strict([]byte) error }).Strict(encode(d))
		}
	}
	return nil
}

// knownKind reports whether a scenario may hold objects of kind. Any
// Kubernetes resource may be there: kubectl shows them, checks read some.
func knownKind(kind facts.Kind) bool { return kind.IsKube() || ids[kind] != "" }

func kindNames() []string {
	names := []string{}
	for _, n := range facts.Needs {
		names = append(names, string(n.Kind()))
	}
	for k := range maps.Keys(extraLists) {
		names = append(names, string(k))
	}
	return names
}
