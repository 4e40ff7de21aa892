package resolve

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/hopwise/hopwise/internal/facts"
)

// A kubeAnswer is what the kubernetes plugin answers.
type kubeAnswer struct {
	Answer
	alias   string // the name that an ExternalName Service stands for
	rule    string // namespace/name that decides
	command string
}

// A request is a name of the cluster, taken apart
// (github.com/kubernetes/dns, docs/specification.md).
type request struct {
	kind, namespace, service string
	endpoint                 string
	port, protocol           string
	tooLong                  bool
}

// taken splits what stands before a zone.
func taken(base string) request {
	var r request
	segs := strings.Split(base, ".")
	pop := func() string {
		if len(segs) == 0 {
			return ""
		}
		last := segs[len(segs)-1]
		segs = segs[:len(segs)-1]
		return last
	}
	r.kind, r.namespace, r.service = pop(), pop(), pop()
	switch len(segs) {
	case 1:
		r.endpoint = segs[0]
	case 2:
		r.port, r.protocol = strings.TrimPrefix(segs[0], "_"), strings.TrimPrefix(segs[1], "_")
	}
	r.tooLong = len(segs) > 2
	return r
}

// kube answers a name of a zone from the cluster's objects.
func (w *World) kube(k Kubernetes, zone, name, qtype string) kubeAnswer {
	if strings.HasSuffix(zone, ".arpa.") {
		return w.pointer(name)
	}
	base := strings.TrimSuffix(strings.TrimSuffix(name, zone), ".")
	if base == "" || base == "svc" || base == "pod" {
		return kubeAnswer{Answer: Answer{Kind: NoData, Why: "it is above the names of Services"}}
	}
	if base == "ns.dns" {
		return kubeAnswer{Answer: inFamily(Answer{Why: "CoreDNS itself"}, w.Addresses(), qtype)}
	}
	r := taken(base)
	if r.kind != "svc" && r.kind != "pod" || r.tooLong {
		return missing(fmt.Sprintf("names of the cluster are SERVICE.NAMESPACE.svc.%s", strings.TrimSuffix(zone, ".")), "")
	}
	if no, ok := w.exposed(k, r.namespace); !ok {
		return no
	}
	if r.service == "" && w.Namespaces == nil {
		return untold("namespaces are not known", "kubectl get namespaces")
	}
	if r.service == "" {
		return kubeAnswer{Answer: Answer{Kind: NoData, Why: "it is a namespace"}}
	}
	if r.kind == "pod" {
		return w.podName(k, r, qtype)
	}
	return w.serviceName(k, r, qtype)
}

func missing(why, command string, refs ...facts.Ref) kubeAnswer {
	return kubeAnswer{Answer: Answer{Kind: NXDomain, Why: why, Objects: refs}, command: command}
}

func untold(why, command string) kubeAnswer {
	return kubeAnswer{Answer: Answer{Kind: NotKnown, Why: why}, command: command}
}

func (w *World) namespace(name string) *corev1.Namespace {
	i := slices.IndexFunc(w.Namespaces, func(n corev1.Namespace) bool { return n.Name == name })
	if i < 0 {
		return nil
	}
	return &w.Namespaces[i]
}

// exposed reports whether the plugin serves a namespace; no says why not.
func (w *World) exposed(k Kubernetes, namespace string) (no kubeAnswer, ok bool) {
	command := "kubectl get namespace " + namespace + " --show-labels"
	if k.Namespaces != nil && !slices.Contains(k.Namespaces, namespace) {
		return missing("the Corefile serves only namespaces "+strings.Join(k.Namespaces, ", "), corefileCommand(corednsMap)), false
	}
	if w.Namespaces == nil {
		return no, true // the Service will tell
	}
	n := w.namespace(namespace)
	if n == nil {
		why := "there is no namespace " + namespace
		if near := w.nearest(namespace); near != "" {
			why += "; there is " + near
		}
		return missing(why, command), false
	}
	if k.NamespaceLabels == "" {
		return no, true
	}
	sel, err := metav1.ParseToLabelSelector(k.NamespaceLabels)
	if err != nil {
		return untold("the selector of namespaces in the Corefile cannot be read", corefileCommand(corednsMap)), false
	}
	s, err := metav1.LabelSelectorAsSelector(sel)
	if err != nil || s.Matches(labels.Set(n.Labels)) {
		return no, err == nil
	}
	return missing("namespace "+namespace+" has not the labels that the Corefile serves ("+k.NamespaceLabels+")", command, ref(facts.Namespaces, "", namespace)), false
}

// nearest is the namespace whose name is a typo away.
func (w *World) nearest(name string) string {
	var names []string
	for _, n := range w.Namespaces {
		names = append(names, n.Name)
	}
	if near := facts.Nearest(name, names, 1); len(near) > 0 && facts.Distance(name, near[0]) <= 2 {
		return near[0]
	}
	return ""
}

// serviceName answers a name of a Service, or of an endpoint or port of it.
func (w *World) serviceName(k Kubernetes, r request, qtype string) kubeAnswer {
	id := r.namespace + "/" + r.service
	command := fmt.Sprintf("kubectl -n %s get service %s -o wide", r.namespace, r.service)
	if w.Services == nil {
		return untold("Services are not known", command)
	}
	s := w.service(r.namespace, r.service)
	if s == nil {
		return w.noService(r)
	}
	if k.Labels != "" {
		return untold("the Corefile serves only objects with labels "+k.Labels, corefileCommand(corednsMap))
	}
	out := kubeAnswer{rule: id, command: command, Answer: Answer{Objects: []facts.Ref{ref(facts.Services, r.namespace, r.service)}}}
	headless := s.Spec.ClusterIP == corev1.ClusterIPNone
	switch {
	case s.Spec.Type == corev1.ServiceTypeExternalName:
		return out.external(s, r)
	case headless || r.endpoint != "":
		return w.endpoints(out, k, s, r, qtype)
	case k.IgnoreEmpty && w.EndpointSlices != nil && w.ready(r) == 0:
		out.Kind, out.Why = NXDomain, "Service "+id+" has no ready endpoint, and the Corefile says ignore empty_service"
		return out
	}
	i := slices.IndexFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return r.asks(p.Name, string(cmp.Or(p.Protocol, corev1.ProtocolTCP))) })
	if i < 0 {
		out.Kind, out.Why = NXDomain, fmt.Sprintf("Service %s has no port %s of protocol %s", id, r.port, r.protocol)
		return out
	}
	if qtype == "SRV" {
		p := s.Spec.Ports[i]
		out.Kind, out.Why, out.Records = Found, "port of Service "+id, []string{fmt.Sprintf("port %d of %s.%s.svc", p.Port, r.service, r.namespace)}
		return out
	}
	out.Why = "ClusterIP of Service " + id
	out.Answer = inFamily(out.Answer, clusterIPs(s), qtype)
	return out
}

// asks reports whether a request is about a port; one that names none is
// about all.
func (r request) asks(name, protocol string) bool {
	return (r.port == "" || strings.EqualFold(r.port, name)) && (r.protocol == "" || strings.EqualFold(r.protocol, protocol))
}

func (out kubeAnswer) external(s *corev1.Service, r request) kubeAnswer {
	id, to := r.namespace+"/"+r.service, s.Spec.ExternalName
	switch {
	case r.endpoint != "" || r.port != "":
		out.Kind, out.Why = NXDomain, "Service "+id+" is an ExternalName: it has no endpoints and ports"
	case to == "" || !validName(to):
		out.Kind, out.Why = NXDomain, fmt.Sprintf("Service %s is an ExternalName with %q, which is no name", id, to)
	default:
		if ip, err := netip.ParseAddr(to); err == nil {
			out.Kind, out.Why = NXDomain, fmt.Sprintf("Service %s is an ExternalName with the address %s, where a name must stand", id, ip)
			return out
		}
		out.alias, out.Why = Normal(to), "Service "+id+" is an ExternalName for "+to
	}
	return out
}

// noService says where a Service is that is not where the name says.
func (w *World) noService(r request) kubeAnswer {
	var elsewhere, same []string
	var refs []facts.Ref
	for _, s := range w.Services {
		if s.Name == r.service {
			elsewhere = append(elsewhere, s.Namespace)
			refs = append(refs, ref(facts.Services, s.Namespace, s.Name))
		}
		if s.Namespace == r.namespace {
			same = append(same, s.Name)
		}
	}
	why := fmt.Sprintf("namespace %s has no Service %s", r.namespace, r.service)
	slices.Sort(elsewhere)
	if near := facts.Nearest(r.service, same, 1); len(elsewhere) > 0 {
		why += "; there is one in " + strings.Join(elsewhere[:min(3, len(elsewhere))], ", ")
	} else if len(near) > 0 && facts.Distance(r.service, near[0]) <= 2 {
		why += "; there is " + near[0]
	}
	return missing(why, "kubectl get services -A --field-selector metadata.name="+r.service, refs[:min(3, len(refs))]...)
}

// ready counts the ready endpoints of a Service.
func (w *World) ready(r request) int {
	n := 0
	for _, s := range w.slicesOf(r.namespace, r.service) {
		for _, e := range s.Endpoints {
			if isReady(e) {
				n += len(e.Addresses)
			}
		}
	}
	return n
}

// endpoints answers with the addresses behind a Service.
func (w *World) endpoints(out kubeAnswer, k Kubernetes, s *corev1.Service, r request, qtype string) kubeAnswer {
	id := r.namespace + "/" + r.service
	out.command = fmt.Sprintf("kubectl -n %s get endpointslices -l kubernetes.io/service-name=%s -o wide", r.namespace, r.service)
	switch {
	case k.NoEndpoints:
		out.Kind, out.Why = NXDomain, "the Corefile says noendpoints: addresses behind Services have no names"
		return out
	case w.EndpointSlices == nil:
		out.Kind, out.Why = NotKnown, "the endpoints of Service "+id+" are not known"
		return out
	}
	ips, names, notReady := w.behind(k, r)
	switch {
	case len(ips) > 0 && qtype == "SRV":
		out.Kind, out.Why = Found, "ports of the endpoints of Service "+id
		for _, n := range names {
			out.Records = append(out.Records, n+"."+r.service+"."+r.namespace+".svc")
		}
		return out
	case len(ips) > 0:
		out.Why = "ready endpoints of Service " + id
		out.Answer = inFamily(out.Answer, ips, qtype)
		return out
	case len(names) > 0:
		out.Why = fmt.Sprintf("Service %s has no endpoint %s; it has %s", id, cmp.Or(r.endpoint, "with port "+r.port), strings.Join(names[:min(3, len(names))], ", "))
	case notReady > 0:
		out.Why = fmt.Sprintf("Service %s has no ready endpoint (%d are not ready)", id, notReady)
		if s.Spec.ClusterIP == corev1.ClusterIPNone && !s.Spec.PublishNotReadyAddresses {
			out.Why += "; without publishNotReadyAddresses a headless Service has no name then"
		}
	default:
		out.Why = "Service " + id + " has no endpoints"
	}
	out.Kind = NXDomain
	return out
}

// behind are the addresses of ready endpoints that a request is about, the
// names of all ready ones, and how many are not ready.
func (w *World) behind(k Kubernetes, r request) (ips []netip.Addr, names []string, notReady int) {
	for _, s := range w.slicesOf(r.namespace, r.service) {
		ports := len(s.Ports) == 0 && r.port == "" || slices.ContainsFunc(s.Ports, func(p discoveryv1.EndpointPort) bool {
			return r.asks(facts.Val(p.Name), string(cmp.Or(facts.Val(p.Protocol), corev1.ProtocolTCP)))
		})
		for _, e := range s.Endpoints {
			if !isReady(e) {
				notReady++
				continue
			}
			for _, address := range e.Addresses {
				name := endpointName(k, e, address)
				names = append(names, name)
				if ip, err := netip.ParseAddr(address); err == nil && ports && (r.endpoint == "" || strings.EqualFold(r.endpoint, name)) {
					ips = append(ips, ip)
				}
			}
		}
	}
	return ips, unique(names), notReady
}

// endpointName is the label of an endpoint: its hostname, its pod's name
// when the Corefile says so, or its address with dashes.
func endpointName(k Kubernetes, e discoveryv1.Endpoint, address string) string {
	switch {
	case facts.Val(e.Hostname) != "":
		return *e.Hostname
	case k.EndpointPodNames && e.TargetRef != nil && e.TargetRef.Name != "":
		return e.TargetRef.Name
	}
	return strings.NewReplacer(".", "-", ":", "-").Replace(address)
}

// podName answers 10-0-1-2.NAMESPACE.pod.
func (w *World) podName(k Kubernetes, r request, qtype string) kubeAnswer {
	text := strings.ReplaceAll(r.service, "-", ":")
	if strings.Count(r.service, "-") == 3 && !strings.Contains(r.service, "--") {
		text = strings.ReplaceAll(r.service, "-", ".")
	}
	ip, err := netip.ParseAddr(text)
	switch {
	case k.Pods == "disabled":
		return missing("the Corefile says pods disabled: addresses of pods have no names", corefileCommand(corednsMap))
	case err != nil || r.endpoint != "":
		return missing(r.service+" is no address with dashes in the place of dots, and pods have no other names", "")
	case k.Pods == "insecure":
		return kubeAnswer{Answer: inFamily(Answer{Why: "the address that the name spells (pods insecure)"}, []netip.Addr{ip}, qtype)}
	case w.Pods == nil:
		return untold("pods are not known", "kubectl -n "+r.namespace+" get pods -o wide")
	}
	for _, p := range w.Pods {
		if p.Namespace == r.namespace && p.Status.PodIP == ip.String() {
			return kubeAnswer{Answer: inFamily(Answer{Why: "pod " + p.Namespace + "/" + p.Name, Objects: []facts.Ref{ref(facts.Pods, p.Namespace, p.Name)}}, []netip.Addr{ip}, qtype)}
		}
	}
	return missing("no pod of namespace "+r.namespace+" has the address "+ip.String(), "kubectl -n "+r.namespace+" get pods -o wide")
}

// pointer answers the name of an address.
func (w *World) pointer(name string) kubeAnswer {
	ip, ok := reversed(name)
	if !ok {
		return missing("it is the name of no single address", "")
	}
	if w.Services == nil {
		return untold("Services are not known", "kubectl get services -A")
	}
	for i := range w.Services {
		if s := &w.Services[i]; slices.Contains(clusterIPs(s), ip) {
			return kubeAnswer{rule: s.Namespace + "/" + s.Name, Answer: Answer{Kind: Found, Why: "the ClusterIP of a Service", Records: []string{s.Name + "." + s.Namespace + ".svc." + w.Domain()}, Objects: []facts.Ref{ref(facts.Services, s.Namespace, s.Name)}}}
		}
	}
	for _, s := range w.EndpointSlices {
		for _, e := range s.Endpoints {
			if isReady(e) && slices.Contains(e.Addresses, ip.String()) && s.Labels[discoveryv1.LabelServiceName] != "" {
				return kubeAnswer{Answer: Answer{Kind: Found, Why: "an endpoint of a Service", Records: []string{endpointName(Kubernetes{}, e, ip.String()) + "." + s.Labels[discoveryv1.LabelServiceName] + "." + s.Namespace + ".svc." + w.Domain()}}}
			}
		}
	}
	return missing("no Service and no endpoint has the address "+ip.String(), "")
}

// reversed is the address that a name below in-addr.arpa or ip6.arpa is about.
func reversed(name string) (netip.Addr, bool) {
	if rest, ok := strings.CutSuffix(name, ".in-addr.arpa."); ok {
		labels := strings.Split(rest, ".")
		slices.Reverse(labels)
		ip, err := netip.ParseAddr(strings.Join(labels, "."))
		return ip, err == nil && ip.Is4()
	}
	rest, ok := strings.CutSuffix(name, ".ip6.arpa.")
	nibbles := strings.Split(rest, ".")
	if !ok || len(nibbles) != 32 {
		return netip.Addr{}, false
	}
	var b [16]byte
	for i, n := range nibbles {
		v, err := strconv.ParseUint(n, 16, 4)
		if err != nil {
			return netip.Addr{}, false
		}
		b[15-i/2] |= byte(v) << (4 * (i % 2))
	}
	return netip.AddrFrom16(b), true
}
