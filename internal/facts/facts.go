// Package facts holds what is known of a cluster's network: the objects its
// APIs returned at one time, and what could not be read. It is data: it
// imports no client, knows no clock and makes no call.
package facts

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Kind names one sort of fact, as "service/resource": "ec2/subnets",
// "kube/pods". It is also the name of the fixture file that holds it.
type Kind string

// A Need is a Key of any type: what a check declares that it reads.
type Need interface {
	// Kind names the facts.
	Kind() Kind
	// Permission is what a reader must be allowed: "ec2:DescribeSubnets"
	// or "list pods".
	Permission() string
	// Decode reads a list of facts from the JSON that kubectl or the AWS CLI
	// prints for them. The result is a slice of the key's type.
	Decode([]byte) (any, error)
}

// In returns the facts of kind k in v.
// It panics if the check that v was made for did not declare k among its
// Needs or Wants. For a Want that could not be read it returns nothing; use
// Have to tell "none" from "not known".
func (k Key[T]) In(v *View) []T {
	if !v.may[k.kind] {
		panic(fmt.Sprintf("facts: %s read but declared neither in Needs nor in Wants", k.kind))
	}
	v.read[k.kind] = true
	list, _ := v.s.Have[k.kind].([]T)
	return list
}

// Have reports whether the facts of kind k are known in v.
func (k Key[T]) Have(v *View) bool {
	k.In(v)
	_, ok := v.s.Have[k.kind]
	return ok
}

// A Reason says why facts could not be read.
type Reason string

// The reasons of a Gap.
const (
	Denied      Reason = "denied"      // the API refused: a permission is missing
	TimedOut    Reason = "timed out"   // the deadline passed before an answer came
	Throttled   Reason = "throttled"   // the API kept answering "slow down"
	Unreachable Reason = "unreachable" // no connection, or no usable credentials
	Absent      Reason = "absent"      // the API server does not serve this kind
	Unread      Reason = "not read"    // nothing asked for it, or what it depends on is missing
)

// A Gap is a kind that was asked for and not obtained.
type Gap struct {
	Kind       Kind   `json:"kind"`
	Reason     Reason `json:"reason"`
	Permission string `json:"permission,omitempty"` // what would be needed
	Detail     string `json:"detail,omitempty"`     // one line, redacted
}

// A Target is what a question names; every field may be empty.
type Target struct {
	Namespace string `json:"namespace,omitempty"`
	Kind      string `json:"kind,omitempty"` // service, ingress, pod, deployment, namespace, host; "" when only a name is known
	Name      string `json:"name,omitempty"`
	Host      string `json:"host,omitempty"`
	Port      int32  `json:"port,omitempty"`
	Address   string `json:"address,omitempty"` // what the host is said to resolve to
	Lookup    string `json:"lookup,omitempty"`  // the name that does not resolve, as it was typed: "payments", "api.example.com"
}

// IsZero reports whether the question named nothing.
func (t Target) IsZero() bool { return t == Target{} }

// A Snapshot is what was true of one cluster at one time. It is not changed
// after it was taken.
type Snapshot struct {
	Cluster string
	Region  string
	At      time.Time
	Target  Target       // what the question named
	Have    map[Kind]any // lists of SDK structs, by kind
	Gaps    map[Kind]Gap // kinds asked for and not obtained

	memo *sync.Map // of Memo; nil for none
}

// Missing returns the gaps that keep needs from being met, by kind.
func (s *Snapshot) Missing(needs []Need) []Gap {
	missing := map[Kind]Gap{}
	for _, n := range needs {
		if _, ok := s.Have[n.Kind()]; ok {
			continue
		}
		g, ok := s.Gaps[n.Kind()]
		if !ok {
			g = Gap{Kind: n.Kind(), Reason: Unread, Permission: n.Permission()}
		}
		missing[n.Kind()] = g
	}
	var gaps []Gap
	for _, k := range slices.Sorted(maps.Keys(missing)) {
		gaps = append(gaps, missing[k])
	}
	return gaps
}

// Without returns s less one kind, as if it had never been asked for.
func (s *Snapshot) Without(k Kind) *Snapshot {
	less := *s
	less.Have = maps.Clone(s.Have)
	delete(less.Have, k)
	return &less
}

// A View is the part of a Snapshot that one check declared it reads.
type View struct {
	s    *Snapshot
	may  map[Kind]bool
	read map[Kind]bool
}

// View returns a view of s limited to what is declared.
func (s *Snapshot) View(declared ...[]Need) *View {
	v := &View{s: s, may: map[Kind]bool{}, read: map[Kind]bool{}}
	for _, needs := range declared {
		for _, n := range needs {
			v.may[n.Kind()] = true
		}
	}
	return v
}

// Cluster is the cluster's name; Region the AWS region it is in. Both may be
// empty when nothing told them.
func (v *View) Cluster() string { return v.s.Cluster }

// Region is the AWS region of the cluster.
func (v *View) Region() string { return v.s.Region }

// At is the time at which the facts were read.
func (v *View) At() time.Time { return v.s.At }

// Target is what the question named.
func (v *View) Target() Target { return v.s.Target }

// Read returns the kinds that were read through v.
func (v *View) Read() map[Kind]bool { return v.read }

// A Ref names one object: the kind that it was read as, and its id.
// Kubernetes ids are "namespace/name", or "name" for objects without one.
type Ref struct {
	Kind Kind   `json:"kind"`
	ID   string `json:"id"`
}

func (r Ref) String() string { return string(r.Kind) + "/" + r.ID }

// Matches reports whether t names the object r.
func (t Target) Matches(r Ref) bool {
	ns, name, ok := strings.Cut(r.ID, "/")
	if !ok {
		ns, name = "", r.ID
	}
	if r.Kind == Records.kind && r.ID != "" && (r.ID == t.Host || r.ID == t.Lookup) { // a record is named by its host
		return true
	}
	if !r.Kind.IsKube() {
		return t.Name != "" && t.Name == r.ID
	}
	if t.Namespace != "" && (r.Kind == Namespaces.kind && name == t.Namespace && t.Name == "") {
		return true
	}
	if t.Namespace != "" && ns != t.Namespace {
		return false
	}
	if t.Name == "" {
		return t.Namespace != "" && ns == t.Namespace
	}
	return name == t.Name
}
