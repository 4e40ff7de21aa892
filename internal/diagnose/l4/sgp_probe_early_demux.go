package l4

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// SGPProbeEarlyDemux recognises probes that get no answer because the node's
// kernel drops what comes back from a branch interface.
var SGPProbeEarlyDemux = &diagnose.Check{
	ID:    "l4/sgp-probe-early-demux",
	Title: "Probes of pods with security groups time out because TCP early demux is on",
	Doc: `In strict mode a kubelet's connection to a pod with a branch interface leaves the node by its first interface, and
the answer comes back through the pod's. TCP early demux finds the kubelet's socket before the packet was routed, takes the
interface that it came by for wrong, and drops it. TCP, HTTP and gRPC probes time out, whatever the security groups admit;
exec probes work. The init container of aws-node turns early demux off when DISABLE_TCP_EARLY_DEMUX is true.

Recognised by ENABLE_POD_ENI true, strict mode, the variable not true in the init container, and pods with a branch interface
whose network probes time out although their groups admit their node on the probe's port. A ready pod with a branch
interface and such a probe shows that probes pass, and nothing is reported then.

Looks alike: rules that are missing for the probe; an application that answers slowly, on nodes of every kind.

Fix: DISABLE_TCP_EARLY_DEMUX=true for the init container, or standard mode. Local TCP connections cost a little more then.`,
	Needs:    []facts.Need{facts.Pods, facts.Nodes, facts.DaemonSets, facts.Events, facts.NetworkInterfaces, facts.SecurityGroups},
	Wants:    []facts.Need{facts.Addons},
	CausedBy: []string{"l4/sgp-missing-dns-kubelet-rules"},
	Sources:  []string{cniReadme, sgpPractices},
	Run:      sgpProbeEarlyDemux,
}

func sgpProbeEarlyDemux(v *facts.View) []diagnose.Finding {
	if s := podSettingsOf(v); !s.known || !s.enabled || !s.strict || !s.earlyDemux {
		return nil
	}
	stuck, messages := unanswered(v)
	if len(stuck) == 0 {
		return nil
	}
	demux := setting{container: cniInit, variable: "DISABLE_TCP_EARLY_DEMUX", to: "true"}
	f := diagnose.Finding{
		Severity: diagnose.Outage,
		Subject:  awsNode,
		Affects:  podRefs(stuck),
		Claim: fmt.Sprintf("DISABLE_TCP_EARLY_DEMUX is not true while pods have security groups in strict mode: probes of %s time out (%s)",
			diagnose.Count(len(stuck), "pod"), diagnose.Some(podNames(stuck))),
		Evidence: []diagnose.Evidence{demux.evidence(v, "true, in container "+cniInit), strictMode("").evidence(v, "standard, or early demux off")},
		Remedies: []remedy.Remedy{
			demux.remedy(v, "Set DISABLE_TCP_EARLY_DEMUX=true for the init container of aws-node", "aws-node restarts on every node and turns early demux off there; pods keep running, and their next probes pass."),
			strictMode("standard").remedy(v, "Go over to standard mode", "Then probes do not pass the branch interface. Traffic within a node no longer meets the pods' groups, and what leaves the VPC has the node's address and groups. Only new pods take it over."),
		},
	}
	for i, p := range stuck[:min(2, len(stuck))] {
		f.Evidence = append(f.Evidence, diagnose.Evidence{Fact: podRef(p).String() + " event Unhealthy", Got: messages[i], Want: "the probe passes: the pod's groups admit the node",
			Command: fmt.Sprintf("kubectl -n %s describe pod %s", p.Namespace, p.Name)})
	}
	return []diagnose.Finding{f}
}

// unanswered are the pods whose probes get no answer though their groups admit
// them; none at all if a probe of such a pod passes somewhere.
func unanswered(v *facts.View) (stuck []*corev1.Pod, messages []string) {
	nodes := map[string]machine{}
	for _, m := range machines(facts.Nodes.In(v), facts.NetworkInterfaces.In(v)) {
		nodes[m.Name] = m
	}
	events, groups := latestEvents(facts.Events.In(v)), filtersOfGroups(v)
	for _, b := range branchPods(v) {
		ports := probePorts(b.pod)
		if len(ports) == 0 {
			continue
		}
		if reach.Ready(b.pod) {
			return nil, nil
		}
		e, m := events[b.pod.Namespace+"/"+b.pod.Name]["Unhealthy"], nodes[b.pod.Spec.NodeName]
		if e == nil || !gotNoAnswer(e.Message) || m.Node == nil || b.IP.Is4() != m.IP.Is4() {
			continue
		}
		admitted := true
		for _, port := range ports {
			admitted = admitted && !groups.Admits(b.Groups, m.Endpoint, "tcp", port).Blocked() && !groups.LetsOut(m.Groups, b.Endpoint, "tcp", port).Blocked()
		}
		if admitted {
			stuck, messages = append(stuck, b.pod), append(messages, e.Message)
		}
	}
	return stuck, messages
}
