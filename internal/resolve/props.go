package resolve

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A propRule says which arguments a property takes.
type propRule struct {
	min, max int // number of arguments; max < 0 for any
	check    func(args []string) string
}

// once are plugins that CoreDNS takes only once in a server block.
var once = []string{"cache", "dnssec", "errors", "hosts", "kubernetes", "loop", "nsid", "pprof", "prometheus", "ready", "tsig", "view"}

var (
	flag  = propRule{0, 0, nil}
	one   = propRule{1, 1, nil}
	first = propRule{1, -1, nil}
	any0  = propRule{0, -1, nil}
	took  = propRule{1, -1, isDuration}
	whole = propRule{1, -1, isNumber}
)

// knownProps are the properties of the plugins that decide what names get
// (github.com/coredns/coredns, plugin/*/setup.go).
var knownProps = map[string]map[string]propRule{
	"kubernetes": {
		"endpoint_pod_names": flag, "pods": {1, 1, oneOf("disabled", "verified", "insecure")}, "namespaces": first, "endpoint": first,
		"tls": {3, 3, nil}, "labels": first, "namespace_labels": first, "fallthrough": any0, "ttl": {1, -1, between(0, 3600)}, "noendpoints": flag,
		"zonal": flag, "ignore": {0, -1, oneOf("empty_service")}, "kubeconfig": {1, 2, nil}, "multicluster": any0, "startup_timeout": took,
		"apiserver_qps": one, "apiserver_burst": {1, 1, isNumber}, "apiserver_max_inflight": {1, 1, isNumber},
	},
	"forward": {
		"except": first, "max_fails": whole, "max_connect_attempts": whole, "health_check": took, "force_tcp": flag, "prefer_udp": flag,
		"tls": {0, 3, nil}, "tls_servername": first, "expire": took, "max_age": took, "max_idle_conns": whole, "read_timeout": took,
		"doh_method": {1, -1, oneOf("GET", "POST")}, "policy": {1, -1, oneOf("random", "round_robin", "sequential")}, "max_concurrent": whole,
		"next": first, "next_on_nodata": flag, "failfast_all_unhealthy_upstreams": flag, "failover": first, "resolver": first, "source_address": first,
	},
	"cache": {
		"success": {1, -1, isNumber}, "denial": {1, -1, isNumber}, "prefetch": {1, 3, isNumber}, "serve_stale": {0, 5, isDuration},
		"serve_stale_policy": {1, 1, oneOf("prefer_positive")}, "servfail": {1, 1, isDuration}, "disable": {1, -1, oneOf("success", "denial")}, "keepttl": flag,
	},
	"health": {"lameduck": {1, 1, isDuration}},
	"ready":  {"monitor": {1, 1, oneOf("until-ready", "continuously")}},
}

// removedProps are properties that releases of CoreDNS once had.
var removedProps = map[string]map[string]string{
	"kubernetes": {
		"upstream":     "it was removed in CoreDNS 1.7; delete it, names are looked up without",
		"resyncperiod": "it was removed in CoreDNS 1.7; delete it",
		"transfer":     "it was removed in CoreDNS 1.8; use the transfer plugin",
	},
	"forward": {"spray": "it was never one of forward; delete it"},
}

func isDuration(args []string) string {
	d, err := time.ParseDuration(args[0])
	if err != nil {
		return err.Error()
	}
	if d < 0 {
		return "can't be negative: " + args[0]
	}
	return ""
}

func isNumber(args []string) string {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err.Error()
	}
	if n < 0 {
		return "can't be negative: " + args[0]
	}
	return ""
}

func between(lo, hi int) func([]string) string {
	return func(args []string) string {
		n, err := strconv.Atoi(args[0])
		if err != nil {
			return err.Error()
		}
		if n < lo || n > hi {
			return fmt.Sprintf("must be in range [%d, %d]: %d", lo, hi, n)
		}
		return ""
	}
}

func oneOf(words ...string) func([]string) string {
	return func(args []string) string {
		if slices.Contains(words, args[0]) {
			return ""
		}
		return fmt.Sprintf("wrong value %s, must be one of: %s", args[0], strings.Join(words, ", "))
	}
}
