package l4_test

import "testing"

// containers gives the pods of cart other containers.
func containers(list string) string {
	return "-- kube/pods.yaml --\nitems:\n- {metadata: {name: cart-7f5c6b9d48-8vhpl, namespace: shop}, spec: {containers: " + list + "}}\n" +
		"- {metadata: {name: cart-7f5c6b9d48-jz2xr, namespace: shop}, spec: {containers: " + list + "}}\n"
}

func TestServicePorts(t *testing.T) {
	const (
		mismatch = "service-targetport-mismatch shop/cart"
		missing  = "service-named-port-missing shop/cart"
		protocol = "service-protocol-mismatch shop/cart"
	)
	patch := func(field, value string) string {
		return ` | kubectl -n shop patch service cart --type=json -p '[{"op":"test","path":"/spec/ports/0/port","value":80},{"op":"replace","path":"/spec/ports/0/` + field + `","value":` + value + `}]'`
	}
	slice := "-- kube/endpointslices.yaml --\nitems:\n- {metadata: {name: cart-zq7kt, namespace: shop}, ports: []}\n"
	two := "[{name: cart, ports: [{containerPort: 8080}, {containerPort: 9090}]}]"
	cases{
		{"left out", "base-shop", cart("{ports: [{port: 80, protocol: TCP}]}"), []string{mismatch + patch("targetPort", "8080")}},
		{"several declared, none stands out", "base-shop", cart("{ports: [{port: 80, targetPort: 7000}]}") + containers(two), []string{mismatch + " manual"}},
		{"several declared, a probe asks one", "base-shop", cart("{ports: [{port: 80, targetPort: 7000}]}") + containers("[{name: cart, ports: [{containerPort: 8080}, {containerPort: 9090}], readinessProbe: {tcpSocket: {port: 9090}}}]"), []string{mismatch + patch("targetPort", "9090")}},
		{"the number of the Service's port is declared", "base-shop", cart("{ports: [{port: 80, targetPort: 7000}]}") + containers("[{name: cart, ports: [{containerPort: 80}, {containerPort: 8080}]}]"), []string{mismatch + patch("targetPort", "80")}},
		{"nothing declared", "base-shop", cart("{ports: [{port: 80, targetPort: 7000}]}") + containers("[{name: cart}]"), nil},
		{"a probe asks the number", "base-shop", cart("{ports: [{port: 80, targetPort: 7000}]}") + containers("[{name: cart, ports: [{containerPort: 8080}], livenessProbe: {httpGet: {port: 7000}}}]"), nil},
		{"a sidecar declares it", "base-shop", cart("{ports: [{port: 80, targetPort: 7000}]}") + containers("[{name: cart, ports: [{containerPort: 8080}]}, {name: proxy, ports: [{containerPort: 7000}]}]"), nil},
		{"one of two ports", "base-shop", cart("{ports: [{name: http, port: 80, targetPort: http}, {name: grpc, port: 81, targetPort: 7000}]}"), nil},
		{"one of two ports, which the question names", "base-shop", "target: shop/cart\n" + cart("{ports: [{name: http, port: 80, targetPort: http}, {name: grpc, port: 81, targetPort: 7000}]}"), nil},
		{"headless", "base-shop", cart("{clusterIP: None, ports: [{port: 80, targetPort: 7000}]}"), nil},
		{"name with a typo", "base-shop", cart("{ports: [{port: 80, targetPort: htttp}]}") + slice, []string{missing + patch("targetPort", `"http"`)}},
		{"name of a port that only has a number", "base-shop", cart("{ports: [{name: web, port: 80, targetPort: web}]}") + containers("[{name: cart, ports: [{containerPort: 8080}]}]") + slice, []string{missing + patch("targetPort", "8080")}},
		{"the slice has the port", "base-shop", cart("{ports: [{name: http, port: 80, targetPort: htttp}]}"), nil},
		{"a metrics port that is switched off", "base-shop", cart("{ports: [{name: http, port: 80, targetPort: http}, {name: metrics, port: 9102, targetPort: metrics}]}"), nil},
		{"UDP in the pods", "base-shop", cart("{ports: [{port: 80, targetPort: 5140}]}") + containers("[{name: cart, ports: [{containerPort: 5140, protocol: UDP}]}]"), []string{protocol + patch("protocol", `"UDP"`)}},
		{"UDP in the pods, by name", "base-shop", cart("{ports: [{port: 80, targetPort: syslog}]}") + containers("[{name: cart, ports: [{name: syslog, containerPort: 5140, protocol: UDP}]}]") + slice, []string{protocol + patch("protocol", `"UDP"`)}},
		{"UDP in the Service, TCP by default in the pods", "base-shop", cart("{ports: [{port: 80, protocol: UDP, targetPort: 8080}]}"), nil},
		{"both protocols in the Service", "base-shop", cart("{ports: [{name: a, port: 80, targetPort: 5140}, {name: b, port: 80, protocol: UDP, targetPort: 5140}]}") + containers("[{name: cart, ports: [{containerPort: 5140, protocol: UDP}]}]"), nil},
	}.run(t)
}
