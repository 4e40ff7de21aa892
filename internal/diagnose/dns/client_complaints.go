package dns

import (
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/facts"
)

// A complaint is a lookup that found no such name, in a pod's own words: what
// its container said when it ended, or its probe or hook.
type complaint struct {
	pod    *corev1.Pod
	name   string // as it was looked up
	server string // the nameserver that answered, where the words tell
	text   string
}

// noSuchName are the words of Go, Node, Java, glibc, curl and busybox.
var noSuchName = []*regexp.Regexp{
	regexp.MustCompile(`lookup ([A-Za-z0-9_.-]+) on \[?([0-9a-fA-F.:]+?)\]?:53: no such host`),
	regexp.MustCompile(`lookup ([A-Za-z0-9_.-]+): no such host`),
	regexp.MustCompile(`getaddrinfo ENOTFOUND ([A-Za-z0-9_.-]+)`),
	regexp.MustCompile(`UnknownHostException: ([A-Za-z0-9_.-]+)`),
	regexp.MustCompile(`could not translate host name "([A-Za-z0-9_.-]+)" to address: Name`),
	regexp.MustCompile(`Could not resolve host: ([A-Za-z0-9_.-]+)`),
	regexp.MustCompile(`bad address '([A-Za-z0-9_.-]+)'`),
	regexp.MustCompile(`can't find ([A-Za-z0-9_.-]+): NXDOMAIN`),
}

// ofThePod are the reasons of events that quote what ran in the pod. Others,
// such as those of image pulls, quote lookups of the node.
var ofThePod = map[string]bool{"Unhealthy": true, "FailedPostStartHook": true, "FailedPreStopHook": true}

// complaints are those of the last hour, one for each pod and name.
func complaints(pods []corev1.Pod, events []corev1.Event, now time.Time) []complaint {
	var out []complaint
	eachSaid(pods, events, now, func(p *corev1.Pod, words []string) {
		seen := map[string]bool{}
		for _, text := range words {
			if c, ok := complains(text); ok && !seen[c.name] {
				seen[c.name], c.pod = true, p
				out = append(out, c)
			}
		}
	})
	return out
}

// lookedUpOn are Go's words for a lookup that failed in any way: the name, and
// the nameserver of the pod's resolv.conf.
var lookedUpOn = regexp.MustCompile(`lookup ([A-Za-z0-9_.-]+) on \[?([0-9a-fA-F.:]+?)\]?:53: [^"]*`)

// askedServers are, for each pod that said so within the hour, the nameserver
// that it asked in vain.
func askedServers(pods []corev1.Pod, events []corev1.Event, now time.Time) []complaint {
	var out []complaint
	eachSaid(pods, events, now, func(p *corev1.Pod, words []string) {
		for _, text := range words {
			if m := lookedUpOn.FindStringSubmatch(text); m != nil {
				out = append(out, complaint{pod: p, name: strings.ToLower(strings.TrimSuffix(m[1], ".")), server: m[2], text: strings.TrimSpace(m[0])})
				return
			}
		}
	})
	return out
}

// eachSaid calls use with what each running pod said within the hour.
func eachSaid(pods []corev1.Pod, events []corev1.Event, now time.Time, use func(*corev1.Pod, []string)) {
	said := map[string][]string{} // by pod
	for i := range events {
		e := &events[i]
		if e.InvolvedObject.Kind == "Pod" && ofThePod[e.Reason] && now.Sub(facts.LastSeen(e)) <= time.Hour {
			id := e.InvolvedObject.Namespace + "/" + e.InvolvedObject.Name
			said[id] = append(said[id], e.Message)
		}
	}
	for i := range pods {
		if p := &pods[i]; running(p) {
			use(p, append(lastWords(p, now), said[p.Namespace+"/"+p.Name]...))
		}
	}
}

// lastWords are the messages with which p's containers ended within the hour.
func lastWords(p *corev1.Pod, now time.Time) []string {
	var out []string
	for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for _, s := range list {
			for _, t := range []*corev1.ContainerStateTerminated{s.State.Terminated, s.LastTerminationState.Terminated} {
				if t != nil && t.Message != "" && now.Sub(t.FinishedAt.Time) <= time.Hour {
					out = append(out, t.Message)
				}
			}
		}
	}
	return out
}

func complains(text string) (complaint, bool) {
	for _, re := range noSuchName {
		if m := re.FindStringSubmatch(text); m != nil {
			c := complaint{name: strings.ToLower(strings.TrimSuffix(m[1], ".")), text: m[0]}
			if len(m) > 2 {
				c.server = m[2]
			}
			return c, true
		}
	}
	return complaint{}, false
}
