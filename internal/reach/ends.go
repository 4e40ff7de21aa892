package reach

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/hopwise/hopwise/internal/facts"
)

// Kinds of a facts.Target that are ends of a path.
const (
	KindPod          = "pod"
	KindService      = "service"
	KindDeployment   = "deployment" // any workload: its pods
	KindNode         = "node"
	KindHost         = "host" // a name, an address or a block of addresses
	KindInternet     = "internet"
	KindLoadBalancer = "load-balancer"
	KindControlPlane = "control-plane" // the cluster's Kubernetes API, by its interfaces in the VPC
	KindVPCEndpoint  = "vpc-endpoint"
)

// endKinds are the words for kinds of ends.
var endKinds = map[string]string{
	"pod": KindPod, "pods": KindPod, "po": KindPod,
	"svc": KindService, "service": KindService, "services": KindService,
	"deploy": KindDeployment, "deployment": KindDeployment, "deployments": KindDeployment, "sts": KindDeployment, "statefulset": KindDeployment,
	"ds": KindDeployment, "daemonset": KindDeployment, "workload": KindDeployment,
	"node": KindNode, "nodes": KindNode, "no": KindNode,
	"host": KindHost, "ip": KindHost, "cidr": KindHost,
	"lb": KindLoadBalancer, "alb": KindLoadBalancer, "nlb": KindLoadBalancer, "load-balancer": KindLoadBalancer, "loadbalancer": KindLoadBalancer,
	"vpce": KindVPCEndpoint, "vpc-endpoint": KindVPCEndpoint, "endpoint": KindVPCEndpoint,
}

// ParseEnd reads an end of a path: KIND/NAMESPACE/NAME, KIND/NAME,
// NAMESPACE/NAME, HOST, ADDRESS, BLOCK, "internet" or "control-plane", each
// with :PORT if it is where the connection goes. Kinds are those of kubectl
// and lb, vpce, node.
func ParseEnd(s string) (facts.Target, error) {
	s = strings.TrimSpace(s)
	rest, port, err := cutPort(s)
	if err != nil {
		return facts.Target{}, err
	}
	t := facts.Target{Port: port}
	if _, err := netip.ParsePrefix(rest); err == nil {
		t.Kind, t.Host = KindHost, rest
		return t, nil
	}
	parts := strings.Split(rest, "/")
	if kind := endKinds[strings.ToLower(parts[0])]; kind != "" && len(parts) > 1 {
		t.Kind, parts = kind, parts[1:]
	}
	switch {
	case len(parts) > 2 || strings.Contains("/"+rest+"/", "//"):
		return facts.Target{}, fmt.Errorf("%q is no end of a path: use pod/NAMESPACE/NAME, svc/NAMESPACE/NAME:PORT, deploy/NAMESPACE/NAME, node/NAME, lb/NAME, vpce/ID, HOST:PORT, ADDRESS, internet or control-plane", s)
	case t.Kind == KindHost:
		t.Host = strings.Join(parts, "/")
	case len(parts) == 2:
		t.Namespace, t.Name = parts[0], parts[1]
	case t.Kind != "":
		t.Name = parts[0]
	default:
		return bare(t, parts[0]), nil
	}
	return t, nil
}

// bare reads an end that is one word.
func bare(t facts.Target, word string) facts.Target {
	_, notIP := netip.ParseAddr(word)
	switch low := strings.ToLower(word); {
	case low == "internet" || low == "the-internet" || low == "world":
		t.Kind = KindInternet
	case low == "control-plane" || low == "apiserver" || low == "api-server":
		t.Kind = KindControlPlane
	case notIP == nil:
		t.Kind, t.Host = KindHost, word
	case strings.HasPrefix(low, "vpce-"):
		t.Kind, t.Name = KindVPCEndpoint, word
	case strings.HasSuffix(low, ".compute.internal") || strings.HasSuffix(low, ".ec2.internal"):
		t.Kind, t.Name = KindNode, word
	case strings.Contains(word, "."):
		t.Kind, t.Host = KindHost, word
	default:
		t.Name = word
	}
	return t
}

// cutPort takes :PORT from the end of s. An IPv6 address with a port has
// brackets.
func cutPort(s string) (rest string, port int32, err error) {
	if s == "" {
		return "", 0, fmt.Errorf("an end of the path is empty")
	}
	if inner, ok := strings.CutPrefix(s, "["); ok {
		addr, after, _ := strings.Cut(inner, "]")
		if after == "" {
			return addr, 0, nil
		}
		s = addr + "]" + after
	}
	i := strings.LastIndexByte(s, ':')
	if _, notIP := netip.ParseAddr(s); i < 0 || notIP == nil {
		return s, 0, nil
	}
	if _, err := netip.ParsePrefix(s); err == nil {
		return s, 0, nil
	}
	n, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("%q: %q is no port from 1 to 65535", s, s[i+1:])
	}
	return strings.TrimSuffix(s[:i], "]"), int32(n), nil
}

// Label names an end for people.
func Label(t facts.Target) string {
	switch t.Kind {
	case KindInternet:
		return "the internet"
	case KindControlPlane:
		return "the control plane"
	}
	name := t.Name
	if t.Namespace != "" {
		name = t.Namespace + "/" + name
	}
	name = cmp.Or(t.Host, name, "nothing")
	if t.Kind != "" && t.Host == "" {
		name = strings.ReplaceAll(t.Kind, "-", " ") + " " + name
	}
	if t.Port != 0 && strings.Count(name, ":") < 2 {
		name += ":" + strconv.Itoa(int(t.Port))
	} else if t.Port != 0 {
		name = "[" + name + "]:" + strconv.Itoa(int(t.Port))
	}
	return name
}
