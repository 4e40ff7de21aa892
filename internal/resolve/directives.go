package resolve

import "slices"

// CoreDNSVersion is the release of CoreDNS whose order of plugins this package
// knows (github.com/coredns/coredns, plugin.cfg): the newest that EKS ships.
// Directives and properties of later releases up to 1.14.7 are known too, so
// that none of them is called unknown.
const CoreDNSVersion = "1.13.1"

// directives are the plugins of CoreDNS in the order in which a query meets
// them. It is compiled in; the order of the Corefile has no effect. In the
// last releases of 1.14 rewrite and autopath came before acl and cache.
var directives = []string{
	"root", "metadata", "geoip", "cancel", "tls", "proxyproto", "quic", "grpc_server", "https", "https3", "timeouts", "multisocket",
	"reload", "nsid", "bufsize", "bind", "debug", "trace", "ready", "health", "pprof", "shed", "prometheus", "errors", "log",
	"dnstap", "local", "dns64", "acl", "any", "chaos", "loadbalance", "tsig", "cache", "rewrite", "header", "dnssec", "autopath",
	"minimal", "template", "transfer", "hosts", "route53", "azure", "clouddns", "k8s_external", "kubernetes", "file",
	"auto", "secondary", "etcd", "loop", "forward", "grpc", "erratic", "whoami", "on", "sign", "view", "nomad",
}

// removed are directives that releases of CoreDNS once had, with what to
// write instead.
var removed = map[string]string{
	"proxy":      "it was removed in CoreDNS 1.5; write forward instead",
	"federation": "it was removed in CoreDNS 1.7; delete it",
	"startup":    "write on startup instead",
	"shutdown":   "write on shutdown instead",
}

func known(directive string) bool { return slices.Contains(directives, directive) }
