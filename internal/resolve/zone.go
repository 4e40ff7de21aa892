package resolve

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// ports are the schemes of server blocks with the ports that they listen on
// when none is given.
var ports = map[string]string{"dns": "53", "tls": "853", "quic": "853", "grpc": "443", "https": "443", "https3": "443"}

// scheme splits dns://, tls:// and the like from an address.
func scheme(s string) (name, rest string) {
	if before, after, ok := strings.Cut(s, "://"); ok && (ports[before] != "" || before == "unix") {
		return before, after
	}
	return "dns", s
}

// zonesOf are the zones that one address of a server block stands for: a
// block of addresses (CIDR) stands for its reverse zones.
func zonesOf(key string) ([]Zone, error) {
	proto, rest := scheme(key)
	names, port, err := hostPort(rest)
	if err != nil {
		return nil, err
	}
	if port == "" {
		port = ports[proto]
	}
	var zones []Zone
	for _, n := range names {
		zones = append(zones, Zone{Scheme: proto, Name: Normal(n), Port: port})
	}
	return zones, nil
}

// origins are the zones that a plugin works for: those of its arguments, or
// else those of its server block.
func origins(args []string, b *Block) []string {
	var out []string
	for _, a := range args {
		_, rest := scheme(a)
		names, _, err := hostPort(rest)
		if err != nil {
			continue // CoreDNS is silent about it too
		}
		for _, n := range names {
			out = append(out, Normal(n))
		}
	}
	if len(args) > 0 {
		return out
	}
	for _, z := range b.Zones {
		out = append(out, z.Name)
	}
	return out
}

// hostPort splits the port from a zone and writes blocks of addresses as
// their reverse zones.
func hostPort(s string) (names []string, port string, err error) {
	colon := strings.LastIndex(s, ":")
	if colon == len(s)-1 {
		return nil, "", fmt.Errorf("expecting data after last colon: %q", s)
	}
	if n, err := strconv.Atoi(s[colon+1:]); err == nil && colon >= 0 {
		port, s = strconv.Itoa(n), s[:colon]
	}
	if len(s) > 255 {
		return nil, "", fmt.Errorf("specified zone is too long: %d > 255", len(s))
	}
	if !validName(s) {
		return nil, "", fmt.Errorf("zone is not a valid domain name: %s", s)
	}
	block, err := netip.ParsePrefix(s)
	if err != nil {
		return []string{s}, port, nil
	}
	if s[0] == ':' || s[0] == '0' && strings.Contains(s, ":") {
		return nil, "", fmt.Errorf("invalid CIDR %s", s)
	}
	return reverseZones(block.Masked()), port, nil
}

// reverseZones are the zones of the names of addresses in a block: as many
// as there are octets, or nibbles of IPv6, at its last one.
func reverseZones(block netip.Prefix) []string {
	step := 8
	if block.Addr().Is6() {
		step = 4
	}
	digits := (block.Bits() + step - 1) / step
	count := 1 << (digits*step - block.Bits())
	bytes := block.Addr().AsSlice()
	var zones []string
	for i := range count {
		labels := make([]string, 0, digits+1)
		for d := digits - 1; d >= 0; d-- {
			v := digit(bytes, d, step)
			if d == digits-1 {
				v += i
			}
			if step == 8 {
				labels = append(labels, strconv.Itoa(v))
			} else {
				labels = append(labels, strconv.FormatInt(int64(v), 16))
			}
		}
		suffix := "in-addr.arpa."
		if step == 4 {
			suffix = "ip6.arpa."
		}
		zones = append(zones, strings.Join(append(labels, suffix), "."))
	}
	return zones
}

func digit(bytes []byte, i, step int) int {
	if step == 8 {
		return int(bytes[i])
	}
	return int(bytes[i/2]>>(4*(1-i%2))) & 15
}

// Normal writes a name in lower case and with a dot at the end, which is how
// names are compared here. "" is the root.
func Normal(name string) string {
	name = strings.ToLower(name)
	if !strings.HasSuffix(name, ".") || strings.HasSuffix(name, `\.`) {
		name += "."
	}
	return name
}

// validName reports whether a server can be asked for a name: no label is
// empty or longer than 63 bytes, and all are not longer than 255.
func validName(s string) bool {
	if s == "" || s == "." {
		return true
	}
	wire, label := 1, 0
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '.' && label == 0:
			return false
		case s[i] == '.':
			wire, label = wire+label+1, 0
			continue
		case s[i] == '\\' && isDDD(s[i+1:]):
			i += 3
		case s[i] == '\\' && i+1 == len(s):
			return false
		case s[i] == '\\':
			i++
		}
		if label++; label > 63 {
			return false
		}
	}
	if label > 0 {
		wire += label + 1
	}
	return wire <= 255
}

func isDDD(s string) bool {
	return len(s) >= 3 && s[0] >= '0' && s[0] <= '9' && s[1] >= '0' && s[1] <= '9' && s[2] >= '0' && s[2] <= '9'
}

// Within reports whether a name is a zone's or below it. Both are Normal.
func Within(name, zone string) bool {
	return zone == "." || name == zone || strings.HasSuffix(name, "."+zone)
}

// longest returns the most specific of zones that a name is in; "" for none.
func longest(zones []string, name string) string {
	best := ""
	for _, z := range zones {
		if Within(name, z) && len(z) > len(best) {
			best = z
		}
	}
	return best
}
