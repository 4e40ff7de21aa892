// Package world is one recorded or made-up cluster that can be changed: the
// documents that kubectl and the AWS CLI would print of it, and the
// controllers that react when one is changed. The stand-in servers serve it,
// the scenario tests read it, the demo lets a fix change it.
package world

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hopwise/hopwise/internal/facts"
)

// A Doc is one object as JSON: what kubectl or the AWS CLI prints of it.
type Doc = map[string]any

// Errors of changes.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("already exists")
	ErrConflict = errors.New("changed by somebody else")
)

// A World is a cluster and its VPC. Its methods may be called from many
// goroutines.
type World struct {
	Scenario

	mu       sync.Mutex
	docs     map[facts.Kind]map[string]entry
	version  int64 // of the latest change; objects carry the one of theirs
	watchers map[*watcher]bool
	history  []Event // for watches that start at an earlier version
	touched  []touch // what the controllers have not looked at yet
	now      func() time.Time
	at       time.Time // of what was recorded; see Rebase
}

type entry struct {
	raw     []byte
	version int64
}

// An Event is one change to one object.
type Event struct {
	Type    string // ADDED, MODIFIED, DELETED
	Kind    facts.Kind
	ID      string
	Doc     Doc // after the change; before it when DELETED
	Version int64
}

// List returns the objects of a kind, by id, and the version of the world
// that they are of.
func (w *World) List(kind facts.Kind) ([]Doc, int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var docs []Doc
	for _, id := range slices.Sorted(maps.Keys(w.docs[kind])) {
		docs = append(docs, w.doc(kind, w.docs[kind][id]))
	}
	return docs, w.version
}

// Kinds returns the kinds of which there are objects.
func (w *World) Kinds() []facts.Kind {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Keys(w.docs))
}

// Get returns one object, or ErrNotFound.
func (w *World) Get(kind facts.Kind, id string) (Doc, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.get(kind, id)
}

func (w *World) get(kind facts.Kind, id string) (Doc, error) {
	e, ok := w.docs[kind][id]
	if !ok {
		return nil, fmt.Errorf("%s %q: %w", kind, id, ErrNotFound)
	}
	return w.doc(kind, e), nil
}

// doc returns a copy of e's object, with its version when Kubernetes keeps it.
func (w *World) doc(kind facts.Kind, e entry) Doc {
	d := decode(e.raw)
	if kind.IsKube() {
		meta(d)["resourceVersion"] = strconv.FormatInt(e.version, 10)
	}
	return d
}

// Create adds an object, or returns ErrExists.
func (w *World) Create(kind facts.Kind, d Doc) error {
	return w.change(func() error {
		id, err := ID(kind, d)
		if err != nil {
			return err
		}
		if _, ok := w.docs[kind][id]; ok {
			return fmt.Errorf("%s %q: %w", kind, id, ErrExists)
		}
		return w.put(kind, id, d, "ADDED")
	})
}

// Update changes one object in place. When edit returns an error nothing is
// changed and that error is returned.
func (w *World) Update(kind facts.Kind, id string, edit func(Doc) error) error {
	return w.change(func() error { return w.edit(kind, id, edit) })
}

func (w *World) edit(kind facts.Kind, id string, edit func(Doc) error) error {
	d, err := w.get(kind, id)
	if err != nil {
		return err
	}
	before := encode(d)
	if err := edit(d); err != nil {
		return err
	}
	if bytes.Equal(before, encode(d)) {
		return nil
	}
	return w.put(kind, id, d, "MODIFIED")
}

// Delete removes an object, or returns ErrNotFound.
func (w *World) Delete(kind facts.Kind, id string) error {
	return w.change(func() error { return w.remove(kind, id) })
}

func (w *World) remove(kind facts.Kind, id string) error {
	d, err := w.get(kind, id)
	if err != nil {
		return err
	}
	w.touched = append(w.touched, touch{kind, id, w.docs[kind][id].raw})
	delete(w.docs[kind], id)
	w.publish(Event{"DELETED", kind, id, d, 0})
	return nil
}

// change runs one change and lets the controllers react to it.
func (w *World) change(do func() error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := do(); err != nil {
		w.touched = nil
		return err
	}
	w.settle()
	return nil
}

func (w *World) put(kind facts.Kind, id string, d Doc, event string) error {
	if got, err := ID(kind, d); err != nil || got != id {
		return fmt.Errorf("%s %q: the change names another object (%s)", kind, id, got)
	}
	if kind.IsKube() {
		delete(meta(d), "resourceVersion")
	}
	if w.docs[kind] == nil {
		w.docs[kind] = map[string]entry{}
	}
	w.touched = append(w.touched, touch{kind, id, w.docs[kind][id].raw})
	e := entry{encode(d), w.publish(Event{event, kind, id, nil, 0})}
	w.docs[kind][id] = e
	w.history[len(w.history)-1].Doc = w.doc(kind, e)
	w.deliver(w.history[len(w.history)-1])
	return nil
}

// historyLength is how many changes a watch may lie behind before it has to
// list again, as with a real API server's watch cache.
const historyLength = 4096

// publish records ev under the next version and, when it is whole, delivers it.
func (w *World) publish(ev Event) int64 {
	w.version++
	ev.Version = w.version
	if ev.Doc != nil && ev.Kind.IsKube() {
		meta(ev.Doc)["resourceVersion"] = strconv.FormatInt(ev.Version, 10)
	}
	w.history = append(w.history, ev)
	if n := len(w.history) - historyLength; n > 0 {
		w.history = slices.Delete(w.history, 0, n)
	}
	if ev.Doc != nil {
		w.deliver(ev)
	}
	return ev.Version
}

type watcher struct {
	kind facts.Kind
	ch   chan Event
}

func (w *World) deliver(ev Event) {
	for wt := range w.watchers {
		if wt.kind != "" && wt.kind != ev.Kind {
			continue
		}
		select {
		case wt.ch <- ev:
		default: // too slow: end its watch, it will list again
			delete(w.watchers, wt)
			close(wt.ch)
		}
	}
}

// ErrTooOld is returned for a watch that starts before the kept history.
var ErrTooOld = errors.New("version is too old")

// Watch sends the changes to objects of a kind ("" for all) that come after
// version, until stop is called. The channel is closed when the receiver is
// too slow or stops.
func (w *World) Watch(kind facts.Kind, version int64) (events <-chan Event, stop func(), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := w.version - int64(len(w.history)) + 1
	if version+1 < first {
		return nil, nil, fmt.Errorf("watch %s from %d: %w", kind, version, ErrTooOld)
	}
	wt := &watcher{kind, make(chan Event, historyLength+256)}
	for _, ev := range w.history {
		if ev.Version > version && (kind == "" || kind == ev.Kind) {
			wt.ch <- ev
		}
	}
	w.watchers[wt] = true
	return wt.ch, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.watchers[wt] {
			delete(w.watchers, wt)
			close(wt.ch)
		}
	}, nil
}

// Version is the version of the latest change.
func (w *World) Version() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.version
}

// Snapshot returns what a reader with the scenario's permissions would know
// of the world, without a server between. Kinds that are denied, and kinds
// that the scenario faults for good, are gaps.
func (w *World) Snapshot() (*facts.Snapshot, error) {
	s := &facts.Snapshot{Region: w.Region, At: w.at, Target: w.Target, Have: map[facts.Kind]any{}, Gaps: map[facts.Kind]facts.Gap{}}
	for _, n := range facts.Needs {
		if f, ok := w.FaultOf(n.Permission()); ok && f.Times == 0 {
			s.Gaps[n.Kind()] = facts.Gap{Kind: n.Kind(), Reason: f.Reason(), Permission: n.Permission()}
			continue
		}
		docs, _ := w.List(n.Kind())
		list, err := n.Decode(encode(Doc{listField(n.Kind()): docs}))
		if err != nil {
			return nil, err
		}
		s.Have[n.Kind()] = list
	}
	if docs, _ := w.List(facts.Clusters.Kind()); len(docs) > 0 {
		s.Cluster, _ = docs[0]["name"].(string)
	}
	return s, nil
}

// ids are the fields that identify AWS objects.
var ids = map[facts.Kind]string{
	"eks/clusters": "name", "eks/addons": "addonName",
	"ec2/subnets": "SubnetId", "ec2/vpcs": "VpcId", "ec2/route-tables": "RouteTableId", "ec2/security-groups": "GroupId",
	"ec2/network-interfaces": "NetworkInterfaceId", "ec2/network-acls": "NetworkAclId", "ec2/nat-gateways": "NatGatewayId", "ec2/vpc-peering-connections": "VpcPeeringConnectionId",
	"ec2/vpc-endpoints": "VpcEndpointId", "ec2/vpc-attributes": "VpcId", "ec2/instances": "InstanceId", "ec2/internet-gateways": "InternetGatewayId",
	"elbv2/load-balancers": "LoadBalancerArn", "elbv2/target-groups": "TargetGroupArn", "elbv2/target-health": "TargetGroupArn",
	"elbv2/listeners": "ListenerArn", "elbv2/rules": "RuleArn", "elbv2/tags": "ResourceArn",
	"eks/fargate-profiles": "fargateProfileName", "ec2/dhcp-options": "DhcpOptionsId", "ec2/stale-security-groups": "GroupId", "servicequotas/quotas": "QuotaCode",
	"route53/hosted-zones": "Id", "route53/record-sets": "HostedZoneId",
	"route53resolver/rules": "Id", "route53resolver/rule-associations": "Id", "route53resolver/endpoints": "Id", "route53resolver/firewall-rule-groups": "Id",
}

// extraLists are the list fields of the kinds that no check reads.
var extraLists = map[facts.Kind]string{
	"ec2/instances": "Instances", "ec2/internet-gateways": "InternetGateways",
	"elbv2/listeners": "Listeners", "elbv2/rules": "Rules", "elbv2/tags": "TagDescriptions",
}

// listField is the field that holds the list in a document of kind.
func listField(kind facts.Kind) string {
	for _, n := range facts.Needs {
		if n.Kind() == kind {
			return n.(interface{ List() string }).List()
		}
	}
	if f, ok := extraLists[kind]; ok {
		return f
	}
	return "items"
}

// ID returns the id of an object of a kind: "namespace/name" or "name" for
// Kubernetes, the value of the field that names it for AWS.
func ID(kind facts.Kind, d Doc) (string, error) {
	if kind.IsKube() {
		m, _ := d["metadata"].(Doc)
		name, _ := m["name"].(string)
		if name == "" {
			return "", fmt.Errorf("%s: an object without metadata.name", kind)
		}
		ns, _ := m["namespace"].(string)
		if ct, _ := d["container"].(string); ct != "" && kind == facts.PodLogs.Kind() {
			return ns + "/" + name + "/" + ct, nil // each container of a pod has a log of its own
		}
		if ns != "" {
			return ns + "/" + name, nil
		}
		return name, nil
	}
	field, ok := ids[kind]
	if !ok {
		return "", fmt.Errorf("%s: no such kind", kind)
	}
	id, _ := d[field].(string)
	if id == "" {
		return "", fmt.Errorf("%s: an object without %s", kind, field)
	}
	return id, nil
}

// meta returns d's metadata, made if need be.
func meta(d Doc) Doc {
	m, ok := d["metadata"].(Doc)
	if !ok {
		m = Doc{}
		d["metadata"] = m
	}
	return m
}

func decode(raw []byte) Doc {
	var d Doc
	dec := json.NewDecoder(bytes.NewReader(raw))
	if err := dec.Decode(&d); err != nil {
		panic(fmt.Sprintf("world: stored document: %v", err)) // only valid JSON is ever stored
	}
	return d
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("world: %v", err))
	}
	return b
}

// Decode turns d into a value of type T, such as corev1.Pod.
func Decode[T any](d Doc) (T, error) {
	var v T
	err := json.Unmarshal(encode(d), &v)
	return v, err
}

// Become makes w the world that o is: another scenario, or the same one from
// its start. Watches end, so that their readers list again.
func (w *World) Become(o *World) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for wt := range w.watchers {
		delete(w.watchers, wt)
		close(wt.ch)
	}
	w.Scenario, w.docs, w.at, w.history, w.touched = o.Scenario, o.docs, o.at, nil, nil
	w.version += o.version
	for kind, list := range w.docs {
		for id, e := range list {
			e.version += w.version - o.version
			w.docs[kind][id] = e
		}
	}
}

// RecordedAt is the time of every Snapshot, unless Rebase moves it: a report
// of a scenario must not depend on when it is made.
var RecordedAt = time.Date(2026, 1, 15, 9, 0, 0, 0, time.UTC)
