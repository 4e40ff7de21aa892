package world

import (
	"maps"
	"slices"
	"strconv"

	"github.com/hopwise/hopwise/internal/facts"
)

// settings are what annotations say of a target group's health check, by the
// part of the annotation's name after the slash. Each has the default that
// the AWS Load Balancer Controller uses without the annotation.
var settings = map[string]struct {
	or  string
	set func(group Doc, value string)
}{
	"healthcheck-path":             {"/", func(g Doc, v string) { g["HealthCheckPath"] = v }},
	"success-codes":                {"200", func(g Doc, v string) { g["Matcher"] = Doc{"HttpCode": v} }},
	"healthcheck-port":             {"traffic-port", func(g Doc, v string) { g["HealthCheckPort"] = v }},
	"healthcheck-timeout-seconds":  {"5", setNumber("HealthCheckTimeoutSeconds")},
	"healthcheck-interval-seconds": {"15", setNumber("HealthCheckIntervalSeconds")},
}

func setNumber(field string) func(Doc, string) {
	return func(g Doc, v string) {
		if n, err := strconv.Atoi(v); err == nil {
			g[field] = float64(n)
		}
	}
}

const annotationPrefix = "alb.ingress.kubernetes.io/"

// settleTargetGroups does what the AWS Load Balancer Controller does when an
// annotation about health checks changed on an Ingress or a Service.
func (w *World) settleTargetGroups(touched []touch) {
	if !w.hasController() {
		return
	}
	for _, t := range of(touched, ingressKind, serviceKind) {
		is := w.is(t)
		if is == nil {
			continue
		}
		was := labels(t.was(), "metadata", "annotations")
		now := labels(is, "metadata", "annotations")
		for name := range settings {
			if key := annotationPrefix + name; was[key] != now[key] {
				w.apply(t.kind, is, name)
			}
		}
	}
}

// apply writes one setting to the target groups of an Ingress or a Service. A
// Service's annotation goes before its Ingress's.
func (w *World) apply(kind facts.Kind, d Doc, name string) {
	for _, b := range w.all(bindingKind) {
		ns := text(b, "metadata", "namespace")
		service, _ := w.get(serviceKind, ns+"/"+text(b, "spec", "serviceRef", "name"))
		stack := labels(b, "metadata", "labels")
		ingress, _ := w.get(ingressKind, stack["ingress.k8s.aws/stack-namespace"]+"/"+stack["ingress.k8s.aws/stack-name"])
		mine := ingress
		if kind == serviceKind {
			mine = service
		}
		if mine == nil || text(mine, "metadata", "name") != text(d, "metadata", "name") || text(mine, "metadata", "namespace") != text(d, "metadata", "namespace") {
			continue
		}
		group, err := w.get(targetGroupKind, text(b, "spec", "targetGroupARN"))
		if err != nil {
			continue
		}
		value := settings[name].or
		for _, from := range []Doc{ingress, service} {
			if v, ok := labels(from, "metadata", "annotations")[annotationPrefix+name]; ok {
				value = v
			}
		}
		settings[name].set(group, value)
		w.write(targetGroupKind, group)
	}
}

// hasController reports whether the AWS Load Balancer Controller runs.
func (w *World) hasController() bool {
	for _, p := range w.all(podKind) {
		if labels(p, "metadata", "labels")["app.kubernetes.io/name"] == "aws-load-balancer-controller" && holds(p, "Ready") {
			return true
		}
	}
	return false
}

// settleTargets registers and deregisters targets of the ip groups whose
// Services' endpoints changed.
func (w *World) settleTargets(touched []touch) {
	if !w.hasController() {
		return
	}
	changed := map[string]bool{}
	for _, t := range of(touched, sliceKind) {
		for _, s := range []Doc{t.was(), w.is(t)} {
			if name := labels(s, "metadata", "labels")["kubernetes.io/service-name"]; name != "" {
				changed[text(s, "metadata", "namespace")+"/"+name] = true
			}
		}
	}
	for _, b := range w.all(bindingKind) {
		if ref := text(b, "metadata", "namespace") + "/" + text(b, "spec", "serviceRef", "name"); changed[ref] && text(b, "spec", "targetType") == "ip" {
			w.register(b)
		}
	}
}

// register brings a target group's targets into line with its Service's ready
// endpoints. Those that stay keep their health.
func (w *World) register(binding Doc) {
	arn := text(binding, "spec", "targetGroupARN")
	health, err := w.get(healthKind, arn)
	if err != nil {
		return
	}
	old := map[string]Doc{}
	for _, d := range list(health, "TargetHealthDescriptions") {
		old[targetKey(d)] = d
	}
	now := map[string]Doc{}
	for _, s := range w.slicesOf(text(binding, "metadata", "namespace"), text(binding, "spec", "serviceRef", "name")) {
		port := w.bindingPort(binding, s)
		for _, e := range list(s, "endpoints") {
			addresses, _ := e["addresses"].([]any)
			if at(e, "conditions", "ready") != true || len(addresses) == 0 || port == 0 {
				continue
			}
			ip, _ := addresses[0].(string)
			d := Doc{"Target": Doc{"Id": ip, "Port": float64(port), "AvailabilityZone": text(e, "zone")}, "HealthCheckPort": strconv.Itoa(port), "TargetHealth": Doc{"State": "initial", "Reason": "Elb.RegistrationInProgress", "Description": "Target registration is in progress"}}
			if o, ok := old[targetKey(d)]; ok {
				d = o
			}
			now[targetKey(d)] = d
		}
	}
	targets := []any{}
	for _, k := range slices.Sorted(maps.Keys(now)) {
		targets = append(targets, now[k])
	}
	health["TargetHealthDescriptions"] = targets
	w.write(healthKind, health)
}

func targetKey(d Doc) string {
	return text(d, "Target", "Id") + ":" + strconv.Itoa(number(d, 0, "Target", "Port"))
}

// bindingPort is the port of a slice that a binding's service port stands
// for: it is given by name or by number.
func (w *World) bindingPort(binding, slice Doc) int {
	want := at(binding, "spec", "serviceRef", "port")
	service, err := w.get(serviceKind, text(binding, "metadata", "namespace")+"/"+text(binding, "spec", "serviceRef", "name"))
	if err != nil {
		return 0
	}
	for _, p := range list(service, "spec", "ports") {
		if name, ok := want.(string); ok && text(p, "name") != name || !ok && at(p, "port") != want {
			continue
		}
		for _, sp := range list(slice, "ports") {
			if text(sp, "name") == text(p, "name") {
				return number(sp, 0, "port")
			}
		}
	}
	return 0
}
