package dns

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/reach"
)

// A publisher is one external-dns of the cluster. There may be several, each
// with its own zones, sources and owner id.
type publisher struct {
	deployment *appsv1.Deployment
	index      int // of its container in the pod template
	flags      flags
	minor      int          // of its version 0.MINOR; -1 when the image does not tell, large from 1.0 on
	pods       []corev1.Pod // that are to run
	says       []saying     // their logs, each pod's in its order
	metrics    []family     // of the pods that told any
	account    string       // of the role that its service account names; "" when it names none
	at         time.Time    // when the facts were read
}

// publishers are the external-dns Deployments: those with a container whose
// image is called external-dns, in any registry and namespace.
func publishers(v *facts.View) []*publisher {
	var all []*publisher
	for i := range facts.Deployments.In(v) {
		d := &facts.Deployments.In(v)[i]
		for n, c := range d.Spec.Template.Spec.Containers {
			if repository(c.Image) == "external-dns" {
				all = append(all, newPublisher(v, d, n))
				break
			}
		}
	}
	return all
}

func newPublisher(v *facts.View, d *appsv1.Deployment, n int) *publisher {
	c := d.Spec.Template.Spec.Containers[n]
	p := &publisher{deployment: d, index: n, flags: parseFlags(c), minor: minorVersion(c.Image), at: v.At()}
	for _, pod := range facts.Pods.In(v) {
		if pod.Namespace == d.Namespace && !reach.Finished(&pod) && pod.DeletionTimestamp == nil && d.Spec.Selector != nil && matches(d.Spec.Selector, pod.Labels) {
			p.pods = append(p.pods, pod)
		}
	}
	for _, l := range facts.PodLogs.In(v) {
		if p.runs(l.Namespace, l.Name) && (l.Container == c.Name || l.Container == "") {
			p.says = append(p.says, parseSayings(l.Name, l.Previous, true)...)
			p.says = append(p.says, parseSayings(l.Name, l.Text, false)...)
		}
	}
	for _, m := range facts.PodMetrics.In(v) {
		if f := externalFamilies(m.Text); p.runs(m.Namespace, m.Name) && f != nil {
			p.metrics = append(p.metrics, f)
		}
	}
	for _, sa := range facts.ServiceAccounts.In(v) {
		if sa.Namespace == d.Namespace && sa.Name == d.Spec.Template.Spec.ServiceAccountName {
			p.account = accountOf(sa.Annotations["eks.amazonaws.com/role-arn"])
		}
	}
	return p
}

// runs reports whether a pod is one of p's.
func (p *publisher) runs(namespace, pod string) bool {
	return slices.ContainsFunc(p.pods, func(x corev1.Pod) bool { return x.Namespace == namespace && x.Name == pod })
}

// repository is the last part of an image's name, without tag and digest.
func repository(image string) string {
	image, _, _ = strings.Cut(image[strings.LastIndex(image, "/")+1:], "@")
	name, _, _ := strings.Cut(image, ":")
	return name
}

var imageVersion = regexp.MustCompile(`:v?(\d+)\.(\d+)(?:\D|$)`)

// minorVersion is MINOR of an image tagged 0.MINOR, -1 when the tag is no
// version.
func minorVersion(image string) int {
	m := imageVersion.FindStringSubmatch(image[strings.LastIndex(image, "/")+1:])
	if m == nil {
		return -1
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	return 1000*major + minor
}

// accountOf is the account of an ARN, "" for what is none.
func accountOf(arn string) string {
	if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 && parts[0] == "arn" {
		return parts[4]
	}
	return ""
}

// The prefixes of external-dns' annotations: the default since 0.22, and the
// one before.
const (
	prefixGA    = "external-dns.kubernetes.io/"
	prefixAlpha = "external-dns.alpha.kubernetes.io/"
)

// since022 is the version that reads other annotations and takes no default
// for --policy.
const since022 = 22

// prefix is that of the annotations which p reads, "" when it cannot be told.
func (p *publisher) prefix() string {
	switch {
	case p.flags.vague("annotation-prefix"):
		return ""
	case len(p.flags.all("annotation-prefix")) > 0:
		return p.flags.last("annotation-prefix", "")
	case p.minor >= since022:
		return prefixGA
	case p.minor >= 0:
		return prefixAlpha
	}
	return ""
}

// policy is what p may do to records: sync, upsert-only or create-only; ""
// when it has none, or when that cannot be told.
func (p *publisher) policy() string {
	otherwise := "sync" // up to 0.21
	if p.minor >= since022 || p.minor < 0 || p.flags.vague("policy") {
		otherwise = ""
	}
	return p.flags.last("policy", otherwise)
}

// owner is the id that p writes into its TXT records, and whether it keeps
// ownership in readable TXT records at all.
func (p *publisher) owner() (string, bool) {
	plain := p.flags.last("registry", "txt") == "txt" && !p.flags.on("txt-encrypt-enabled")
	return p.flags.last("txt-owner-id", "default"), plain && !p.flags.vague("registry", "txt-owner-id", "txt-prefix", "txt-suffix", "migrate-from-txt-owner")
}

// route53 reports whether p writes to Route 53.
func (p *publisher) route53() bool { return p.flags.last("provider", "") == "aws" }

// unreadable reports whether the facts do not tell what p publishes: flags in
// a script, or from a place that was not read.
func (p *publisher) unreadable() bool {
	return len(p.flags.all("source")) == 0 || p.flags.vague("source", "provider")
}

// every is p's interval for people.
func (p *publisher) every() string {
	s := p.interval().String()
	if strings.HasSuffix(s, "m0s") {
		return strings.TrimSuffix(s, "0s")
	}
	return s
}

// interval is the time between two of p's looks at everything.
func (p *publisher) interval() time.Duration {
	if d, err := time.ParseDuration(p.flags.last("interval", "1m")); err == nil && d > 0 {
		return d
	}
	return time.Minute
}

func (p *publisher) name() string   { return p.deployment.Namespace + "/" + p.deployment.Name }
func (p *publisher) ref() facts.Ref { return facts.Ref{Kind: facts.Deployments.Kind(), ID: p.name()} }

// label names p for people, who may not know it by its name alone.
func (p *publisher) label() string {
	if strings.Contains(p.name(), "external-dns") {
		return p.name()
	}
	return "external-dns " + p.name()
}

// replicas is how many pods are wanted.
func (p *publisher) replicas() int32 {
	if n := p.deployment.Spec.Replicas; n != nil {
		return *n
	}
	return 1 // the API's default
}

func (p *publisher) ready() bool {
	return slices.ContainsFunc(p.pods, func(x corev1.Pod) bool { return reach.Ready(&x) })
}

func (p *publisher) kubectl(rest string) string {
	return fmt.Sprintf("kubectl -n %s %s", p.deployment.Namespace, rest)
}

// args shows what p was started with.
func (p *publisher) args() string {
	return p.kubectl(fmt.Sprintf("get deployment %s -o jsonpath='{.spec.template.spec.containers[%d].args}'", p.deployment.Name, p.index))
}

// logs shows p's log.
func (p *publisher) logs() string {
	return p.kubectl("logs deployment/" + p.deployment.Name + " --tail=50")
}

// withArg is a command that adds one argument to p's container.
func (p *publisher) withArg(arg string) string {
	if len(p.deployment.Spec.Template.Spec.Containers[p.index].Args) == 0 {
		return p.kubectl("edit deployment " + p.deployment.Name)
	}
	return p.patch(patchOp{"add", fmt.Sprintf("/spec/template/spec/containers/%d/args/-", p.index), arg})
}

// instead is a command that puts another argument in the place of the one
// that sets a flag to a value; opening an editor where there is no such one.
func (p *publisher) instead(flag, value, arg string) string {
	for i, a := range p.deployment.Spec.Template.Spec.Containers[p.index].Args {
		if a == "--"+flag+"="+value || a == "--"+flag && value == "true" {
			at := fmt.Sprintf("/spec/template/spec/containers/%d/args/%d", p.index, i)
			return p.patch(patchOp{"test", at, a}, patchOp{"replace", at, arg})
		}
	}
	return p.kubectl("edit deployment " + p.deployment.Name)
}

// setFlag is a command that gives a flag another value, whether it is set now
// or not.
func (p *publisher) setFlag(flag, value string) string {
	arg := "--" + flag + "=" + value
	if value == "true" {
		arg = "--" + flag
	}
	if now := p.flags.last(flag, ""); now != "" {
		return p.instead(flag, now, arg)
	}
	return p.withArg(arg)
}

// A patchOp is one operation of a JSON patch (RFC 6902).
type patchOp struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value string `json:"value"`
}

func (p *publisher) patch(ops ...patchOp) string {
	b, err := json.Marshal(ops)
	if err != nil {
		return p.kubectl("edit deployment " + p.deployment.Name)
	}
	return p.kubectl(fmt.Sprintf("patch deployment %s --type=json -p %s", p.deployment.Name, quoted(string(b))))
}

// quoted is s as one word of a shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
