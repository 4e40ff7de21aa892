package dns

import (
	"cmp"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var corednsZeroReady = &diagnose.Check{
	ID:    "dns/coredns-zero-ready",
	Title: "No CoreDNS replica is ready",
	Doc: `Pods send their lookups to the ClusterIP of Service kube-system/kube-dns. Without a ready CoreDNS pod behind it
every lookup fails: "Temporary failure in name resolution", EAI_AGAIN, "connection timed out; no servers could be
reached". Workloads that hold open connections run on, which makes the start of the outage hard to see.

Recognised by the Deployment kube-system/coredns with no available replica while the EndpointSlices of kube-dns hold no
ready endpoint. The pods then tell why: scaled to zero, not scheduled, waiting for an address, crashing, or running and
not ready.

Looks alike: EKS Auto Mode runs DNS on the nodes and has neither Deployment nor Service, which is normal; a mixed cluster
still needs CoreDNS for the nodes that are not Auto Mode's. Another DNS provider behind the Service with ready endpoints
is no fault. Ready replicas and failing lookups point to the way there: security groups, ACLs, a NetworkPolicy.

Fixed by scaling up when somebody scaled to zero. Otherwise by what keeps the pods from running. Where a finding of its own
names that, with its fix, it stands before this one.`,
	Needs:    []facts.Need{facts.Deployments, facts.EndpointSlices, facts.Nodes},
	Wants:    []facts.Need{facts.Clusters, facts.Services, facts.Pods, facts.Events},
	CausedBy: append([]string{"l3/subnet-ip-exhausted"}, coreDNSCauses...),
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/userguide/managing-coredns.html",
		"https://github.com/aws/containers-roadmap/issues/2546",
		"https://docs.aws.amazon.com/eks/latest/APIReference/API_AddonIssue.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		c := newCoreDNS(v)
		if c.endpoints > 0 || c.byNodes(v) {
			return nil
		}
		switch {
		case c.deployment == nil && c.missing(v):
			return []diagnose.Finding{c.notInstalled()}
		case c.deployment == nil || c.deployment.Status.AvailableReplicas > 0:
			return nil
		}
		return []diagnose.Finding{c.notReady()}
	},
}

// missing reports whether CoreDNS should be there and is not: Pods are told to
// ask kube-dns, or the cluster is known to resolve in no other way.
func (c coreDNS) missing(v *facts.View) bool {
	return c.service != nil || len(facts.Clusters.In(v)) > 0 && facts.Services.Have(v) && !c.auto
}

// coreDNSCauses are the checks that explain why CoreDNS pods do not answer.
var coreDNSCauses = []string{
	"dns/coredns-pending", "dns/fargate-coredns-pending", "dns/coredns-loop-crash", "dns/coredns-oom", "dns/corefile-parse-error",
	"dns/corefile-missing-ready", "dns/coredns-apiserver-unreachable", "dns/coredns-rbac-endpointslice",
}

func (c coreDNS) notInstalled() diagnose.Finding {
	return diagnose.Finding{
		Severity: diagnose.Outage,
		Subject:  ref(facts.Deployments.Kind(), system, deployment),
		Affects:  []facts.Ref{ref(facts.Services.Kind(), system, service)},
		Claim:    "CoreDNS is not installed: there is no Deployment kube-system/coredns and nothing else is ready behind Service kube-system/kube-dns, so no pod can resolve names",
		Evidence: []diagnose.Evidence{{
			Fact: "kube/deployments/kube-system/coredns", Got: "not found", Want: "2 replicas available",
			Command: "kubectl -n kube-system get deployment,service,endpointslices -l k8s-app=kube-dns",
		}},
		Remedies: []remedy.Remedy{{
			Title:  "Install the CoreDNS add-on",
			Why:    "It brings the Deployment and the Service; choose the version that goes with the cluster's.",
			Manual: []string{"aws eks create-addon --cluster-name CLUSTER --addon-name coredns"},
		}},
	}
}

func (c coreDNS) notReady() diagnose.Finding {
	d := c.deployment
	want := c.wanted()
	why := c.why(want)
	f := diagnose.Finding{
		Severity: diagnose.Outage,
		Subject:  ref(facts.Deployments.Kind(), d.Namespace, d.Name),
		Affects:  []facts.Ref{ref(facts.Services.Kind(), system, service)},
		Claim:    fmt.Sprintf("No replica of %s/%s is ready, so no pod can resolve names: %s", d.Namespace, d.Name, why.text),
		Evidence: []diagnose.Evidence{
			{
				Fact:    ref(facts.Deployments.Kind(), d.Namespace, d.Name).String(),
				Got:     fmt.Sprintf("%d replicas wanted, %d available", want, d.Status.AvailableReplicas),
				Want:    "2 or more available",
				Command: fmt.Sprintf("kubectl -n %s get deployment %s", d.Namespace, d.Name),
			},
			{
				Fact: "kube/services/kube-system/kube-dns endpoints", Got: "0 ready", Want: "1 or more ready",
				Command: "kubectl -n kube-system get endpointslices -l kubernetes.io/service-name=kube-dns",
			},
		},
	}
	for _, p := range c.pods {
		f.Affects = append(f.Affects, ref(facts.Pods.Kind(), p.Namespace, p.Name))
	}
	if why.evidence.Fact != "" {
		f.Evidence = append(f.Evidence, why.evidence)
	}
	f.Remedies = []remedy.Remedy{why.remedy}
	if want == 0 {
		f.Remedies = []remedy.Remedy{{
			Title:   "Scale CoreDNS back to 2 replicas",
			Why:     "Two replicas are what EKS installs; raise the number afterwards if the cluster had more.",
			Risk:    remedy.Safe,
			Actions: remedy.Actions{remedy.ScaleDeployment{Namespace: d.Namespace, Name: d.Name, From: 0, To: 2}},
		}}
	}
	return f
}

// node says where p is to run, for people.
func node(p corev1.Pod) string { return cmp.Or(p.Spec.NodeName, "no node") }
