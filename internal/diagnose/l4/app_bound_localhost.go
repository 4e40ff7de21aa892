package l4

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
	"github.com/hopwise/hopwise/internal/remedy"
)

// AppBoundLocalhost recognises programs that run and do not listen on the
// pod's address.
var AppBoundLocalhost = &diagnose.Check{
	ID:    "l4/app-bound-localhost",
	Title: "Application runs and does not listen on its pod's address",
	Doc: `A program that listens on 127.0.0.1 is reached from inside its pod and from nowhere else: probes, Services and load
balancers get "connection refused" from the pod's address. Many frameworks do so unless they are told 0.0.0.0.
"kubectl port-forward" works all the same: it connects inside the pod.

Recognised by a container that has been running for two minutes or more while a probe of one of its declared ports is
refused on the pod's address. The program may as well hang before it listens, or listen on another port; its log says
which, and the bot does not read what a program is told: arguments and variables may hold secrets. While other pods that
its Services select are ready, as those of the old release in a rollout that waits for the new one, it is no outage.

Looks alike: a container that has just started or that crashes; a probe or a targetPort for a port that the pod does not
declare; a probe that times out (a filter drops it) or gets an error (the application answers).

Fix: bind to 0.0.0.0, or [::] for IPv6, by the program's own setting. The bot does not know it, so it is for a person.`,
	Needs: []facts.Need{facts.Pods, facts.Events},
	Wants: []facts.Need{facts.Services},
	Sources: []string{
		"https://kubernetes.io/docs/tasks/debug/debug-application/debug-service/#is-the-service-working-by-ip",
		"https://kubernetes.io/docs/tasks/access-application-cluster/port-forward-access-application-cluster/",
	},
	Run: func(v *facts.View) []diagnose.Finding {
		events := latestEvents(facts.Events.In(v))
		byOwner := map[facts.Ref][]deaf{}
		pods := facts.Pods.In(v)
		for i := range pods {
			p := &pods[i]
			if d, ok := deafTo(p, events[p.Namespace+"/"+p.Name]["Unhealthy"], v.At()); ok {
				byOwner[ownerOf(p)] = append(byOwner[ownerOf(p)], d)
			}
		}
		var found []diagnose.Finding
		owners := slices.SortedFunc(maps.Keys(byOwner), func(a, b facts.Ref) int { return cmp.Compare(a.String(), b.String()) })
		for _, o := range owners {
			found = append(found, deafFinding(v, o, byOwner[o]))
		}
		return found
	},
}

// A deaf is a pod whose program is not heard on the pod's address.
type deaf struct {
	pod     *corev1.Pod
	port    int32
	message string // what was refused
}

// running is how long a container must have run for its silence to count.
const running = 2 * time.Minute

// refusal finds the address in kubelet's "Readiness probe failed: Get
// "http://10.0.1.2:8080/": dial tcp 10.0.1.2:8080: connect: connection refused".
var refusal = regexp.MustCompile(`dial tcp (\S+):(\d+): connect: connection refused`)

// deafTo judges one pod by its last failed probe.
func deafTo(p *corev1.Pod, unhealthy *corev1.Event, now time.Time) (deaf, bool) {
	if unhealthy == nil || p.Spec.HostNetwork || p.DeletionTimestamp != nil || reach.Finished(p) || conditionTrue(p, corev1.ContainersReady) {
		return deaf{}, false
	}
	m := refusal.FindStringSubmatch(unhealthy.Message)
	if m == nil || strings.Trim(m[1], "[]") != p.Status.PodIP {
		return deaf{}, false
	}
	n, _ := strconv.ParseInt(m[2], 10, 32)
	since, ok := runsSince(p, int32(n))
	last := unhealthy.LastTimestamp.Time
	if !ok || last.Sub(since) < running || now.Sub(last) > 10*time.Minute {
		return deaf{}, false
	}
	return deaf{p, int32(n), unhealthy.Message}, true
}

// runsSince says since when the container that declares a port runs.
func runsSince(p *corev1.Pod, n int32) (since time.Time, ok bool) {
	for _, c := range containers(p) {
		if !slices.ContainsFunc(c.Ports, func(cp corev1.ContainerPort) bool { return cp.ContainerPort == n }) {
			continue
		}
		for _, s := range slices.Concat(p.Status.ContainerStatuses, p.Status.InitContainerStatuses) {
			if s.Name == c.Name && s.State.Running != nil {
				return s.State.Running.StartedAt.Time, true
			}
		}
	}
	return time.Time{}, false
}

// ownerOf is the Deployment or other workload that a pod belongs to, else the
// pod.
func ownerOf(p *corev1.Pod) facts.Ref {
	for _, o := range p.OwnerReferences {
		switch o.Kind {
		case "ReplicaSet":
			if hash := p.Labels["pod-template-hash"]; hash != "" {
				return ref(facts.Deployments.Kind(), p.Namespace, strings.TrimSuffix(o.Name, "-"+hash))
			}
		case "StatefulSet":
			return ref(facts.StatefulSets.Kind(), p.Namespace, o.Name)
		case "DaemonSet":
			return ref(facts.DaemonSets.Kind(), p.Namespace, o.Name)
		}
	}
	return podRef(p)
}

func deafFinding(v *facts.View, owner facts.Ref, pods []deaf) diagnose.Finding {
	d := pods[0]
	ns := d.pod.Namespace
	what := "run and refuse connections on their own address"
	if len(pods) == 1 {
		what = "runs and refuses connections on its own address"
	}
	f := diagnose.Finding{
		Severity: diagnose.Outage,
		Subject:  owner,
		Claim:    fmt.Sprintf("%s of %s %s, port %d: the program listens on 127.0.0.1 or on another port, or hangs before it listens", diagnose.Count(len(pods), "pod"), strings.TrimPrefix(owner.String(), "kube/"), what, d.port),
		Evidence: []diagnose.Evidence{{
			Fact: podRef(d.pod).String() + " events", Got: d.message, Want: "the port is open on the pod's address",
			Command: fmt.Sprintf("kubectl -n %s describe pod %s", ns, d.pod.Name),
		}},
		Remedies: []remedy.Remedy{{
			Title: "Bind the program to 0.0.0.0",
			Why:   "Only the program's own settings can open the port to the pod's address; its log says where it listens.",
			Risk:  remedy.Disruptive,
			Manual: []string{
				fmt.Sprintf("kubectl -n %s logs %s --tail=100", ns, d.pod.Name),
				fmt.Sprintf("kubectl -n %s edit %s", ns, strings.Replace(strings.TrimPrefix(owner.String(), "kube/"), "/"+ns+"/", "/", 1)),
			},
		}},
	}
	var fed []*corev1.Service
	services := facts.Services.In(v)
	for i := range services {
		if slices.ContainsFunc(pods, func(d deaf) bool { return reach.Selects(&services[i], d.pod) }) {
			fed = append(fed, &services[i])
			f.Affects = append(f.Affects, serviceRef(&services[i]))
		}
	}
	if others := stillServe(facts.Pods.In(v), owner, fed); len(others) > 0 {
		f.Severity = diagnose.Degraded
		f.Claim += "; " + meanwhile(others, d.pod)
		f.Evidence = append(f.Evidence, diagnose.Evidence{
			Fact: podRef(others[0]).String(), Got: "Ready, serves", Want: "as it is, until the others are right",
			Command: fmt.Sprintf("kubectl -n %s get pods -l %s", ns, pairs(peerFor(d.pod, ns).PodSelector.MatchLabels)),
		})
	}
	for _, d := range pods {
		f.Affects = append(f.Affects, podRef(d.pod))
	}
	return f
}

// stillServe are the ready pods beside the deaf ones: those of the Services
// that select these, if each has some; without a Service, those of the same
// owner.
func stillServe(pods []corev1.Pod, owner facts.Ref, fed []*corev1.Service) []*corev1.Pod {
	var out []*corev1.Pod
	has := make([]bool, len(fed))
	for i := range pods {
		p := &pods[i]
		if !reach.Ready(p) || !living(p) {
			continue
		}
		serves := len(fed) == 0 && ownerOf(p) == owner
		for j, s := range fed {
			if reach.Selects(s, p) {
				serves, has[j] = true, true
			}
		}
		if serves {
			out = append(out, p)
		}
	}
	if slices.Contains(has, false) {
		return nil
	}
	return out
}

// meanwhile says who serves while a pod does not.
func meanwhile(others []*corev1.Pod, deaf *corev1.Pod) string {
	hash := deaf.Labels["pod-template-hash"]
	old := hash != "" && !slices.ContainsFunc(others, func(p *corev1.Pod) bool { return p.Labels["pod-template-hash"] == hash || ownerOf(p) != ownerOf(deaf) })
	verb := "go"
	if len(others) == 1 {
		verb = "goes"
	}
	if old {
		return fmt.Sprintf("%s of another release %s on serving, and the rollout waits", diagnose.Count(len(others), "pod"), verb)
	}
	return fmt.Sprintf("%s %s on serving", diagnose.Count(len(others), "other pod"), verb)
}
