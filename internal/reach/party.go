package reach

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hopwise/hopwise/internal/facts"
)

// A party is one host at an end of a path.
type party struct {
	Endpoint
	name    string      // for people
	pod     *corev1.Pod // nil for what is no pod
	node    string      // name of the node that it is, or runs on
	subnet  string      // "" when not known
	eni     *ec2types.NetworkInterface
	where   place
	vague   vagueness
	missing string      // why its interface is not known
	command string      // shows where it is
	refs    []facts.Ref // it, and what carries it
}

// A place is on which side of the VPC's border a party is.
type place int

const (
	somewhere place = iota // not known
	inside
	outside
)

// vagueness says what is known of the address of a party outside.
type vagueness int

const (
	exact  vagueness = iota
	anyone           // any address of the internet
	hidden           // one address of the internet; not known which
)

// stranger stands for an address of the internet that no rule names (RFC
// 5737 keeps the block for documentation).
var (
	stranger  = netip.MustParseAddr("198.51.100.77")
	stranger6 = netip.MustParseAddr("2001:db8:ffff::77")
)

// sources are the hosts at the near end. A Service there means its pods.
func (q *question) sources() ([]party, *Step) {
	if q.from.Kind == KindService {
		return q.podsBehind(q.from)
	}
	found, no := q.hosts(q.from, q.to.Namespace)
	if no != nil && q.from.Kind == "" {
		if behind, none := q.podsBehind(q.from); none == nil {
			return behind, nil
		}
	}
	return found, no
}

// hosts finds what t names; near is the namespace to prefer when t names none.
// A step says why there is nothing.
func (q *question) hosts(t facts.Target, near string) ([]party, *Step) {
	switch t.Kind {
	case KindInternet:
		return []party{{Endpoint: Endpoint{IP: stranger}, name: "the internet", where: outside, vague: anyone}}, nil
	case KindControlPlane:
		return q.controlPlane()
	case KindHost:
		return q.named(cmp.Or(t.Address, t.Host))
	case KindNode:
		return q.node(t.Name)
	case KindLoadBalancer:
		return q.balancer(t)
	case KindVPCEndpoint:
		return q.endpoint(t)
	case KindPod, KindDeployment, "":
		return q.podsOf(t, near)
	}
	s := unknownStep("end of the path", fmt.Sprintf("%s is nothing that a connection can start or end at", Label(t)), "")
	return nil, &s
}

// podsOf finds a pod by its name, or the pods of a workload.
func (q *question) podsOf(t facts.Target, near string) ([]party, *Step) {
	if q.Pods == nil {
		s := unknownStep("pods", "the pods are not known", "kubectl get pods -A -o wide")
		return nil, &s
	}
	var found []*corev1.Pod
	for _, ok := range meanings(t) {
		if found = q.match(t, ok); len(found) > 0 {
			break
		}
	}
	found, clash := oneNamespace(found, near)
	if clash != "" {
		s := unknownStep("pods", fmt.Sprintf("%s is in several namespaces (%s): say which", t.Name, clash), "kubectl get pods -A -o wide")
		return nil, &s
	}
	if len(found) == 0 {
		if t.Kind == "" {
			return q.other(t)
		}
		s := Step{Hop: "pods", Verdict: CannotTell, Symptom: NoSuchName, Text: "there is no " + Label(facts.Target{Kind: t.Kind, Namespace: t.Namespace, Name: t.Name}) + q.likely(t), Command: "kubectl get pods -A -o wide"}
		return nil, &s
	}
	return q.live(found)
}

// meanings are what a name of pods may be, the likeliest first: a pod's own,
// its workload's, the value of its label app.
func meanings(t facts.Target) []func(*corev1.Pod) bool {
	return []func(*corev1.Pod) bool{
		func(p *corev1.Pod) bool { return p.Name == t.Name && t.Kind != KindDeployment },
		func(p *corev1.Pod) bool { return !Finished(p) && workloadOf(p) == t.Name },
		func(p *corev1.Pod) bool {
			return !Finished(p) && (p.Labels["app.kubernetes.io/name"] == t.Name || p.Labels["app"] == t.Name)
		},
	}
}

// FindPods returns the pods that t names: one pod, or those of a workload.
// Without a namespace in t they may be of several.
func FindPods(pods []corev1.Pod, t facts.Target) []*corev1.Pod {
	for _, ok := range meanings(t) {
		var found []*corev1.Pod
		for i := range pods {
			if p := &pods[i]; (t.Namespace == "" || p.Namespace == t.Namespace) && ok(p) {
				found = append(found, p)
			}
		}
		if len(found) > 0 {
			return found
		}
	}
	return nil
}

// other looks for a name without a kind among what is no pod.
func (q *question) other(t facts.Target) ([]party, *Step) {
	if q.nodes[t.Name] != nil {
		return q.node(t.Name)
	}
	for i := range q.LoadBalancers {
		if str(q.LoadBalancers[i].LoadBalancerName) == t.Name {
			return q.balancer(t)
		}
	}
	s := unknownStep("end of the path", "nothing is called "+Label(facts.Target{Namespace: t.Namespace, Name: t.Name})+q.likely(t), "kubectl get pods,services -A")
	return nil, &s
}

// likely offers the names that are most like t's.
func (q *question) likely(t facts.Target) string {
	var names []string
	for _, p := range q.pods {
		if t.Namespace == "" || p.Namespace == t.Namespace {
			names = append(names, p.Namespace+"/"+cmp.Or(workloadOf(p), p.Name))
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	want := t.Name
	if t.Namespace != "" {
		want = t.Namespace + "/" + t.Name
	}
	if names = facts.Nearest(want, names, 3); len(names) == 0 {
		return ""
	}
	return "; there are " + strings.Join(names, ", ")
}

func (q *question) match(t facts.Target, ok func(*corev1.Pod) bool) []*corev1.Pod {
	if p := q.pods[t.Namespace+"/"+t.Name]; p != nil && ok(p) { // the usual case, without a search
		return []*corev1.Pod{p}
	}
	var out []*corev1.Pod
	for i := range q.Pods {
		if p := &q.Pods[i]; (t.Namespace == "" || p.Namespace == t.Namespace) && ok(p) {
			out = append(out, p)
		}
	}
	return out
}

// workloadOf is the name of what made a pod: of the Deployment where a
// ReplicaSet did, "" for a pod made by hand.
func workloadOf(p *corev1.Pod) string {
	owner := metav1.GetControllerOf(p)
	if owner == nil {
		return ""
	}
	if hash := p.Labels["pod-template-hash"]; hash != "" && owner.Kind == "ReplicaSet" {
		return strings.TrimSuffix(owner.Name, "-"+hash)
	}
	return owner.Name
}

// oneNamespace keeps the pods of one namespace: near if some are there, else
// the only one there is. clash names them when there are several.
func oneNamespace(found []*corev1.Pod, near string) (kept []*corev1.Pod, clash string) {
	var spaces []string
	for _, p := range found {
		if !slices.Contains(spaces, p.Namespace) {
			spaces = append(spaces, p.Namespace)
		}
	}
	if len(spaces) < 2 {
		return found, ""
	}
	if !slices.Contains(spaces, near) {
		slices.Sort(spaces)
		return nil, strings.Join(spaces, ", ")
	}
	return slices.DeleteFunc(found, func(p *corev1.Pod) bool { return p.Namespace != near }), ""
}

// live makes parties of the pods that have an address.
func (q *question) live(pods []*corev1.Pod) ([]party, *Step) {
	var out []party
	for _, p := range pods {
		if ips := podIPs(p); len(ips) > 0 && !Finished(p) {
			out = append(out, q.podParty(p, ips[0]))
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	p := pods[0]
	s := Step{Hop: "address", Verdict: Denied, Symptom: Timeout, Text: fmt.Sprintf("pod %s/%s is %s and has no address", p.Namespace, p.Name, cmp.Or(string(p.Status.Phase), "not running")),
		Command: kubectl(p.Namespace, "describe pod "+p.Name), Objects: []facts.Ref{kubeRef(facts.Pods, p.Namespace, p.Name)}}
	return nil, &s
}

func (q *question) podParty(p *corev1.Pod, ip netip.Addr) party {
	a := party{Endpoint: Endpoint{IP: ip}, pod: p, node: p.Spec.NodeName, name: "pod " + p.Namespace + "/" + p.Name, where: inside,
		command: kubectl(p.Namespace, "get pod "+p.Name+" -o wide"), refs: []facts.Ref{kubeRef(facts.Pods, p.Namespace, p.Name)}}
	switch {
	case p.Spec.HostNetwork:
		q.onNode(&a)
	default:
		a.eni = cmp.Or(q.branch(p), q.holders.Holder(ip))
		if a.eni == nil && !HasBranch(p) && q.NetworkInterfaces != nil {
			a.eni = q.primary[a.node]
		}
		q.place(&a)
	}
	return a
}

// branch is the interface that belongs to one pod alone.
func (q *question) branch(p *corev1.Pod) *ec2types.NetworkInterface {
	var enis []struct {
		ID string `json:"eniId"`
	}
	if !HasBranch(p) || json.Unmarshal([]byte(p.Annotations["vpc.amazonaws.com/pod-eni"]), &enis) != nil {
		return nil
	}
	for _, e := range enis {
		if eni := q.enis[e.ID]; eni != nil {
			return eni
		}
	}
	return nil
}

// onNode puts a party on the first interface of its node.
func (q *question) onNode(a *party) {
	a.eni = q.primary[a.node]
	if a.eni == nil {
		a.eni = q.holders.Holder(a.IP)
	}
	q.place(a)
}

// place fills in what an interface tells of its address.
func (q *question) place(a *party) {
	if a.eni != nil {
		a.Groups, a.subnet, a.Membership = GroupIDs(a.eni), str(a.eni.SubnetId), AllKnown
		a.refs = append(a.refs, facts.Ref{Kind: facts.NetworkInterfaces.Kind(), ID: str(a.eni.NetworkInterfaceId)})
		return
	}
	a.Membership = Unknown
	a.missing = "the network interface of " + a.name + " is not known"
	if s := q.subnetOf(a.IP); s != nil {
		a.subnet = str(s.SubnetId)
	}
}

func (q *question) node(name string) ([]party, *Step) {
	n := q.nodes[name]
	if n == nil {
		s := unknownStep("node", "there is no node "+name, "kubectl get nodes -o wide")
		if q.Nodes == nil {
			s.Text = "the nodes are not known"
		}
		return nil, &s
	}
	ip, err := netip.ParseAddr(NodeIP(n))
	if err != nil {
		s := unknownStep("node", "node "+name+" has no internal address", "kubectl get nodes -o wide")
		return nil, &s
	}
	return []party{q.nodeParty(n, ip)}, nil
}

func (q *question) nodeParty(n *corev1.Node, ip netip.Addr) party {
	a := party{Endpoint: Endpoint{IP: ip}, node: n.Name, name: "node " + n.Name, where: inside, command: "kubectl get node " + n.Name + " -o wide",
		refs: []facts.Ref{{Kind: facts.Nodes.Kind(), ID: n.Name}}}
	q.onNode(&a)
	return a
}

func kubeRef[T any](k facts.Key[T], namespace, name string) facts.Ref {
	return facts.Ref{Kind: k.Kind(), ID: namespace + "/" + name}
}

func kubectl(namespace, rest string) string { return "kubectl -n " + namespace + " " + rest }
