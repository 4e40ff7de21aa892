package reach

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/hopwise/hopwise/internal/facts"
)

// A destination is a host at the far end and the port that packets to it
// carry after a Service's address was translated.
type destination struct {
	party
	port  int32
	steps []Step // what is known of the host beside the network: its targets
}

// defaultPort is where a connection to something outside goes when nobody
// says.
const defaultPort = 443

// destinations are the hosts at the far end, after the steps that lead there.
// Without hosts the steps say why.
func (q *question) destinations() ([]destination, []Step) {
	if s := q.service(q.to); s != nil || q.to.Kind == KindService {
		return q.through(s)
	}
	if ns, name, ok := serviceHost(q.to.Host); ok {
		q.to = facts.Target{Kind: KindService, Namespace: ns, Name: name}
		return q.through(q.service(q.to))
	}
	hosts, no := q.hosts(q.to, q.from.Namespace)
	if no != nil {
		return nil, []Step{*no}
	}
	var out []destination
	for _, h := range hosts {
		out = append(out, destination{party: h, port: q.portOf(h)})
	}
	if q.port == 0 {
		return nil, []Step{unknownStep("port", "no port was named, and "+Label(q.to)+" declares none", "")}
	}
	for i := range out {
		out[i].steps = q.targets(hosts[i])
	}
	return q.byPublicName(out), nil
}

// portOf is the port that was asked for, else the first that a pod declares,
// else that of HTTPS.
func (q *question) portOf(h party) int32 {
	switch {
	case q.port != 0:
	case h.pod != nil:
		for _, c := range h.pod.Spec.Containers {
			for _, p := range c.Ports {
				q.port = cmp.Or(q.port, p.ContainerPort)
			}
		}
	case h.node == "":
		q.port = defaultPort
	}
	return q.port
}

// serviceHost reads NAME.NAMESPACE.svc and its longer forms.
func serviceHost(host string) (namespace, name string, ok bool) {
	parts := strings.Split(strings.TrimSuffix(strings.ToLower(host), "."), ".")
	if len(parts) < 3 || parts[2] != "svc" {
		return "", "", false
	}
	return parts[1], parts[0], true
}

// service finds the Service that t names, in the namespace of the other end
// when t names none; of a name without a kind, a pod of that name wins.
func (q *question) service(t facts.Target) *corev1.Service {
	if t.Kind != KindService && t.Kind != "" || t.Name == "" {
		return nil
	}
	if t.Kind == "" && (q.Pods == nil || q.pods[t.Namespace+"/"+t.Name] != nil) {
		return nil // it is a pod, or may be one
	}
	if s := q.services[cmp.Or(t.Namespace, q.from.Namespace)+"/"+t.Name]; s != nil || t.Namespace != "" {
		return s
	}
	var found *corev1.Service
	for i := range q.Services {
		if q.Services[i].Name == t.Name {
			if found != nil {
				return nil
			}
			found = &q.Services[i]
		}
	}
	return found
}

func (q *question) serviceRef() []facts.Ref {
	if s := q.service(q.to); s != nil {
		return []facts.Ref{kubeRef(facts.Services, s.Namespace, s.Name)}
	}
	return nil
}

func (q *question) serviceCommand() string {
	if s := q.service(q.to); s != nil {
		return kubectl(s.Namespace, "get service,endpointslices -l kubernetes.io/service-name="+s.Name)
	}
	return "kubectl get services -A"
}

// through follows a Service to its endpoints.
func (q *question) through(s *corev1.Service) ([]destination, []Step) {
	stop := func(v Verdict, symptom Symptom, text string) []Step {
		step := Step{Hop: "Service", Verdict: v, Symptom: symptom, Text: text, Command: q.serviceCommand(), Objects: q.serviceRef()}
		if s != nil {
			step.Rule = s.Namespace + "/" + s.Name
			step.Command = kubectl(s.Namespace, "get service "+s.Name+" -o yaml")
		}
		return []Step{step}
	}
	switch {
	case q.Services == nil:
		return nil, stop(CannotTell, "", "the Services are not known")
	case s == nil:
		return nil, stop(Denied, NoSuchName, "there is no "+Label(facts.Target{Kind: KindService, Namespace: q.to.Namespace, Name: q.to.Name})+q.likelyService())
	case s.Spec.Type == corev1.ServiceTypeExternalName:
		return q.alias(s, stop)
	}
	if q.from.Kind == KindInternet {
		if d, steps := q.published(s); d != nil || steps != nil {
			return d, steps
		}
		return nil, stop(Denied, Timeout, fmt.Sprintf("%s/%s has an address of the cluster only: nothing outside can connect to it", s.Namespace, s.Name))
	}
	port, found := q.servicePort(s)
	if !found {
		symptom, why := q.wrongPort(s)
		return nil, stop(Denied, symptom, why)
	}
	ready, all, known := q.endpoints(s, port)
	switch {
	case !known:
		return nil, stop(CannotTell, "", "the endpoints of "+s.Namespace+"/"+s.Name+" are not known")
	case len(ready) == 0 && headless(s):
		return nil, stop(Denied, NoSuchName, fmt.Sprintf("%s/%s has no ready endpoint (of %d), so its name has no address", s.Namespace, s.Name, all))
	case len(ready) == 0:
		return nil, stop(Denied, Refused, fmt.Sprintf("%s/%s has no ready endpoint (of %d): kube-proxy rejects the connection", s.Namespace, s.Name, all))
	}
	q.local = s.Spec.InternalTrafficPolicy != nil && *s.Spec.InternalTrafficPolicy == corev1.ServiceInternalTrafficPolicyLocal
	return ready, stop(Allowed, "", fmt.Sprintf("%s/%s port %s goes to port %s of %d ready %s", s.Namespace, s.Name, service(q.protocol, q.port), targetWords(port, ready), len(ready), plural(len(ready), "endpoint")))
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

func targetWords(p corev1.ServicePort, ready []destination) string {
	if p.TargetPort.StrVal != "" {
		return fmt.Sprintf("%s (%d)", p.TargetPort.StrVal, ready[0].port)
	}
	return fmt.Sprint(ready[0].port)
}

func (q *question) likelyService() string {
	var names []string
	for name := range q.services {
		names = append(names, name)
	}
	slices.Sort(names)
	want := q.to.Namespace + "/" + q.to.Name
	if names = facts.Nearest(want, names, 3); len(names) == 0 {
		return ""
	}
	return "; there are " + strings.Join(names, ", ")
}

// alias follows an ExternalName: a name of another name.
func (q *question) alias(s *corev1.Service, stop func(Verdict, Symptom, string) []Step) ([]destination, []Step) {
	hosts, no := q.named(s.Spec.ExternalName)
	if no != nil {
		return nil, []Step{*no}
	}
	q.port = cmp.Or(q.port, defaultPort)
	var out []destination
	for _, h := range hosts {
		out = append(out, destination{party: h, port: q.port})
	}
	return out, stop(Allowed, "", fmt.Sprintf("%s/%s is another name of %s", s.Namespace, s.Name, s.Spec.ExternalName))
}

func headless(s *corev1.Service) bool { return s.Spec.ClusterIP == corev1.ClusterIPNone }

// servicePort is the port of s that was asked for. A headless Service
// translates nothing: whatever port is asked for is the pods'.
func (q *question) servicePort(s *corev1.Service) (corev1.ServicePort, bool) {
	for _, p := range s.Spec.Ports {
		if (q.port == 0 || p.Port == q.port) && strings.EqualFold(string(orTCP(p.Protocol)), q.protocol) {
			q.port = p.Port
			return p, true
		}
	}
	return corev1.ServicePort{Port: q.port}, headless(s) && q.port != 0
}

// wrongPort says why s has no such port, and what a client sees: with iptables
// nothing takes the packet, the other modes reject it.
func (q *question) wrongPort(s *corev1.Service) (Symptom, string) {
	symptom := Timeout
	if q.proxy != "iptables" {
		symptom = Refused
	}
	var has []string
	hint := ""
	for _, p := range s.Spec.Ports {
		word := service(string(orTCP(p.Protocol)), p.Port)
		if p.Name != "" {
			word += " (" + p.Name + ")"
		}
		has = append(has, word)
		if ready, _, _ := q.endpoints(s, p); len(ready) > 0 && ready[0].port == q.port && !headless(s) {
			hint = fmt.Sprintf("; %d is the port of its pods, clients use %d", q.port, p.Port)
		}
	}
	asked := service(q.protocol, q.port)
	if q.port == 0 {
		asked = q.protocol
	}
	return symptom, fmt.Sprintf("%s/%s has no port %s; it has %s%s", s.Namespace, s.Name, asked, cmp.Or(strings.Join(has, ", "), "none"), hint)
}

// endpoints are those that s sends a port to: as its EndpointSlices tell, else
// as its selector would make them.
func (q *question) endpoints(s *corev1.Service, port corev1.ServicePort) (ready []destination, all int, known bool) {
	switch {
	case q.EndpointSlices != nil:
		ready, all = q.sliced(s, port)
		return ready, all, true
	case q.Pods == nil || len(s.Spec.Selector) == 0:
		return nil, 0, false
	}
	for i := range q.Pods {
		p := &q.Pods[i]
		n, ok := TargetPort(port, p)
		if headless(s) {
			n = q.port
		}
		if !Selects(s, p) || Finished(p) || !ok {
			continue
		}
		all++
		if ips := podIPs(p); len(ips) > 0 && (Ready(p) || s.Spec.PublishNotReadyAddresses) {
			ready = append(ready, destination{party: q.podParty(p, ips[0]), port: n})
		}
	}
	return ready, all, true
}

func (q *question) sliced(s *corev1.Service, port corev1.ServicePort) (ready []destination, all int) {
	for _, slice := range q.slices[s.Namespace+"/"+s.Name] {
		number, ok := slicePort(slice, port)
		if headless(s) {
			number, ok = q.port, true
		}
		for _, e := range slice.Endpoints {
			all += len(e.Addresses)
			if !ok || e.Conditions.Ready != nil && !*e.Conditions.Ready {
				continue
			}
			for _, a := range e.Addresses {
				if ip, err := netip.ParseAddr(a); err == nil {
					ready = append(ready, destination{party: q.endpointAt(ip, s.Namespace, e.TargetRef), port: number})
				}
			}
		}
	}
	return ready, all
}

// endpointAt is what an endpoint's address is: the pod that it names, else
// whatever has the address.
func (q *question) endpointAt(ip netip.Addr, namespace string, ref *corev1.ObjectReference) party {
	if ref != nil && ref.Kind == "Pod" {
		if p := q.pods[cmp.Or(ref.Namespace, namespace)+"/"+ref.Name]; p != nil {
			return q.podParty(p, ip)
		}
	}
	return q.at(ip)
}

// slicePort is the number that a slice gives a Service's port, by its name.
func slicePort(slice *discoveryv1.EndpointSlice, port corev1.ServicePort) (int32, bool) {
	for _, p := range slice.Ports {
		if str(p.Name) == port.Name && p.Port != nil && (p.Protocol == nil || orTCP(*p.Protocol) == orTCP(port.Protocol)) {
			return *p.Port, true
		}
	}
	return 0, false
}

// podsBehind are the pods of a Service as the near end of a path.
func (q *question) podsBehind(t facts.Target) ([]party, *Step) {
	var found []*corev1.Pod
	for i := range q.Services {
		s := &q.Services[i]
		if s.Name != t.Name || t.Namespace != "" && s.Namespace != t.Namespace {
			continue
		}
		for j := range q.Pods {
			if p := &q.Pods[j]; Selects(s, p) && !Finished(p) {
				found = append(found, p)
			}
		}
	}
	found, clash := oneNamespace(found, q.to.Namespace)
	if len(found) > 0 && clash == "" {
		return q.live(found)
	}
	text := "no pod is behind " + Label(t)
	switch {
	case clash != "":
		text = Label(t) + " is in several namespaces (" + clash + "): say which"
	case q.Pods == nil || q.Services == nil:
		text = "the pods behind " + Label(t) + " are not known"
	}
	s := unknownStep("pods", text, "kubectl get pods,services -A")
	return nil, &s
}
