package dns

import (
	"fmt"
	"path"
	"slices"

	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/remedy"
)

var fargateCoreDNSPending = &diagnose.Check{
	ID:    "dns/fargate-coredns-pending",
	Title: "CoreDNS does not run on Fargate, and there is no other node",
	Doc: `In a cluster without EC2 nodes CoreDNS has to run on Fargate. Two things keep it from it: no Fargate profile selects its
pods, or its Deployment carries the annotation eks.amazonaws.com/compute-type: ec2, with which it is installed. Pods that
were made before the profile stay Pending too: which scheduler a pod gets is decided when it is made.

Recognised by CoreDNS pods that are Pending in a cluster with Fargate profiles and no node but Fargate's.

Looks alike: Pending pods in a cluster with EC2 nodes; the scheduler's message then tells why.

Fixed by a profile for kube-system, and computeType Fargate in the add-on's configuration, or without the add-on by taking
the annotation away. Pods of before are then replaced.`,
	Needs: append([]facts.Need{facts.Nodes, facts.FargateProfiles}, coreDNSNeeds...),
	Wants: append([]facts.Need{facts.Addons}, coreDNSWants...),
	Sources: []string{
		"https://docs.aws.amazon.com/eks/latest/userguide/fargate-getting-started.html",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		c, profiles := newCoreDNS(v), facts.FargateProfiles.In(v)
		a, managed := coreDNSAddon(v)
		if c.deployment == nil || len(profiles) == 0 || !onFargateOnly(facts.Nodes.In(v), c.pods) {
			return nil
		}
		stuck := c.unschedulable(v.At())
		if len(stuck) == 0 {
			return nil
		}
		return []diagnose.Finding{fargateFinding(c, stuck, profiles, a, managed)}
	},
}

// computeType is the annotation by which EKS keeps pods from Fargate.
const computeType = "eks.amazonaws.com/compute-type"

// onFargateOnly reports whether the cluster has no node but Fargate's, and at
// least one sign that it uses Fargate: such a node, or the annotation.
func onFargateOnly(nodes []corev1.Node, pods []corev1.Pod) bool {
	for _, n := range nodes {
		if n.Labels[computeType] != "fargate" {
			return false
		}
	}
	return len(nodes) > 0 || slices.ContainsFunc(pods, func(p corev1.Pod) bool {
		return p.Annotations[computeType] != "" || p.Spec.SchedulerName == "fargate-scheduler"
	})
}

func fargateFinding(c coreDNS, stuck []corev1.Pod, profiles []ekstypes.FargateProfile, a addon, managed bool) diagnose.Finding {
	kept := c.deployment.Spec.Template.Annotations[computeType]
	profile := profileFor(profiles, c.deployment.Namespace, c.deployment.Spec.Template.Labels)
	f := diagnose.Finding{
		Severity: c.severity(diagnose.Risk),
		Subject:  c.ref(),
		Affects:  c.affected(stuck),
		Evidence: []diagnose.Evidence{{
			Fact: c.ref().String() + " annotation " + computeType, Got: orNone(kept), Want: "none, or fargate",
			Command: "kubectl -n kube-system get deployment " + c.deployment.Name + " -o jsonpath='{.spec.template.metadata.annotations}'",
		}, {
			Fact: "eks/fargate-profiles that select it", Got: orNone(profile), Want: "one with namespace kube-system",
			Command: "aws eks list-fargate-profiles --cluster-name " + a.cluster,
		}},
	}
	why := "it was made before Fargate profile " + profile
	switch {
	case profile == "":
		why = "no Fargate profile selects it"
	case kept == "ec2":
		why = "its annotation " + computeType + "=ec2 keeps it from Fargate"
	}
	f.Claim = fmt.Sprintf("CoreDNS cannot be scheduled in a cluster that has only Fargate nodes, as %s: %s", why, c.effect())
	f.Remedies = fargateRemedies(c, profiles, profile, kept, a, managed)
	return f
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// profileFor names the active profile that selects pods of a namespace with
// labels. Both may hold the wildcards * and ?.
func profileFor(profiles []ekstypes.FargateProfile, namespace string, labels map[string]string) string {
	like := func(pattern, s string) bool {
		ok, err := path.Match(pattern, s)
		return err == nil && ok
	}
	for _, p := range profiles {
		for _, s := range p.Selectors {
			ok := like(facts.Val(s.Namespace), namespace)
			for k, v := range s.Labels {
				ok = ok && like(v, labels[k])
			}
			if ok && (p.Status == "" || p.Status == ekstypes.FargateProfileStatusActive) {
				return facts.Val(p.FargateProfileName)
			}
		}
	}
	return ""
}

func fargateRemedies(c coreDNS, profiles []ekstypes.FargateProfile, profile, kept string, a addon, managed bool) []remedy.Remedy {
	if profile == "" {
		return []remedy.Remedy{{
			Title: "Make a Fargate profile for kube-system, then let CoreDNS run on Fargate",
			Why:   "The role and the subnets of an existing profile fit this one as well.",
			Manual: []string{fmt.Sprintf("aws eks create-fargate-profile --cluster-name %s --fargate-profile-name coredns --pod-execution-role-arn %s --selectors namespace=kube-system,labels={k8s-app=kube-dns}",
				facts.Val(profiles[0].ClusterName), facts.Val(profiles[0].PodExecutionRoleArn)),
				"kubectl -n kube-system rollout restart deployment/" + c.deployment.Name},
		}}
	}
	if kept == "" {
		return []remedy.Remedy{{
			Title: "Replace the CoreDNS pods",
			Why:   "New pods are taken by Fargate profile " + profile + "; none of the old ones runs.",
			Risk:  remedy.Disruptive,
			Actions: remedy.Actions{remedy.Restart(remedy.Workload{Kind: "Deployment", Namespace: c.deployment.Namespace, Name: c.deployment.Name},
				c.deployment.Spec.Template.ObjectMeta)},
		}}
	}
	m := remedy.Remedy{
		Title: "Let CoreDNS run on Fargate",
		Why:   "Its pods are replaced, and Fargate profile " + profile + " takes the new ones.",
		Risk:  remedy.Disruptive,
	}
	if set, ok := a.configure("computeType", "Fargate"); managed && ok {
		m.Actions = remedy.Actions{set}
	} else {
		m.Manual = []string{"kubectl -n kube-system patch deployment " + c.deployment.Name +
			` --type=json -p '[{"op":"remove","path":"/spec/template/metadata/annotations/eks.amazonaws.com~1compute-type"}]'`}
	}
	return []remedy.Remedy{m}
}
