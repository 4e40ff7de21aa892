package facts

// A Layer is the part of the network that a failure mode belongs to.
type Layer string

// The layers, in the order in which reports list them: a fault in an earlier
// one breaks those after it.
const (
	L3  Layer = "l3"  // addresses, subnets, routes
	L4  Layer = "l4"  // security groups, ACLs, policies, Services
	L7  Layer = "l7"  // load balancers, Ingresses, targets
	DNS Layer = "dns" // CoreDNS and what it asks
)

// Layers are all the layers, in order.
var Layers = []Layer{L3, L4, L7, DNS}

// Title is the layer's name for people.
func (l Layer) Title() string {
	return map[Layer]string{L3: "L3 addresses and routes", L4: "L4 security groups, policies, Services", L7: "L7 load balancers", DNS: "DNS"}[l]
}
