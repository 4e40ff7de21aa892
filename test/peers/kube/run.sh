#!/bin/sh
# Runs the real kubectl against the Kubernetes stand-in and looks at what it
# prints. The world must be the "shop" of internal/standin/kube's tests.
#
#   run.sh KUBECONFIG      or KUBECONFIG in the environment
#
# Without kubectl on PATH, one is built from the module in this folder. KUBECTL
# names another one.
set -u
here=$(cd "$(dirname "$0")" && pwd)
KUBECONFIG=${1:-${KUBECONFIG:?want the path of a kubeconfig}}
export KUBECONFIG
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

kubectl=${KUBECTL:-$(command -v kubectl || true)}
if [ -z "$kubectl" ]; then
	kubectl=${TMPDIR:-/tmp}/hopwise-kubectl
	v=k8s.io/component-base/version # kubectl cannot read its version unless the linker sets it
	(cd "$here" && go build -ldflags "-X $v.gitVersion=v1.37.2 -X $v.gitMajor=1 -X $v.gitMinor=37" -o "$kubectl" .) || exit 1
fi
HOME=$tmp # kubectl keeps what it learned of a server under ~/.kube
export HOME
echo "# $("$kubectl" version --client 2>&1 | head -n 1)"

failed=0
# expect CODE PATTERN ARGS...: runs kubectl ARGS and wants its exit status to be
# CODE and each line of PATTERN (basic regular expressions) to match some line.
expect() {
	code=$1 patterns=$2
	shift 2
	out=$(timeout 30 "$kubectl" "$@" 2>&1)
	got=$?
	ok=yes
	[ "$got" -eq "$code" ] || ok="exit status $got, want $code"
	while IFS= read -r pattern; do
		printf '%s\n' "$out" | grep -q -- "$pattern" || ok="no line matches: $pattern"
	done <<EOF
$patterns
EOF
	if [ "$ok" = yes ]; then
		echo "ok    kubectl $*"
		return
	fi
	failed=$((failed + 1))
	echo "FAIL  kubectl $*: $ok"
	printf '%s\n' "$out" | sed 's/^/      /'
}

expect 0 'Server Version: v1' version
expect 0 '^NAMESPACE  *NAME  *READY  *STATUS  *RESTARTS  *AGE$
^kube-system  *coredns-1  *1/1  *Running  *0  *[0-9]
^shop  *cart-1  *0/1  *CrashLoopBackOff  *7 ([0-9a-z]* ago)  *[0-9]
^shop  *stock-1  *0/1  *ImagePullBackOff  *0
^shop  *stock-2  *0/1  *Pending  *0
^shop  *web-1  *2/2  *Running  *0
^shop  *web-2  *0/1  *ContainerCreating  *0' get pods -A
expect 0 '^NAMESPACE .* IP  *NODE  *NOMINATED NODE  *READINESS GATES$
^shop  *web-1 .* 10.0.1.20  *ip-10-0-1-10.ec2.internal  *<none>  *<none>$
^shop  *stock-2 .* <none>  *<none>  *<none>  *<none>$' get pods -A -o wide
expect 0 '^shop  *web-2 ' get pods -A --chunk-size=3
expect 0 'Ready  *<none>  *[0-9a-z]*  *v1.33.1-eks-1  *10.0.1.10  *<none>  *Amazon Linux 2023' get nodes -o wide
expect 0 'service/web  *NodePort  *172.20.1.1  *<none>  *80:30080/TCP,9000/TCP
service/edge  *LoadBalancer  *172.20.1.2  *<pending>
deployment.apps/web  *[0-9]/2 
daemonset.apps/aws-node  *1  *1  *1  *1  *1  *kubernetes.io/os=linux
ingress.networking.k8s.io/shop  *alb  *shop.example.com  *k8s-shop.elb.amazonaws.com  *80 
networkpolicy.networking.k8s.io/default-deny  *<none> ' get svc,deploy,ds,ing,netpol -A
expect 0 'endpointslice.discovery.k8s.io/web-abc  *IPv4  *8080  *10.0.1.20
targetgroupbinding.elbv2.k8s.aws/k8s-shop-web  *web  *80  *ip' -n shop get endpointslices,targetgroupbindings
expect 0 'Warning  *FailedCreatePodSandBox  *pod/web-2  *failed to assign' -n shop get events
expect 0 '^web-1$' -n shop get pods -l app=web --field-selector status.phase=Running --no-headers -o custom-columns=N:.metadata.name

expect 0 '^Name:  *web-2
Reason:  *ContainerCreating
Warning  *FailedCreatePodSandBox .* failed to assign an IP address' -n shop describe pod web-2
expect 0 '^Selector:  *app=web' -n shop describe service web
expect 0 'web:80 (10.0.1.20:8080)' -n shop describe ingress shop
expect 0 '^StrategyType' -n shop describe deployment web
expect 0 'coredns-1' describe node ip-10-0-1-10.ec2.internal
expect 0 'connect redis: timeout' -n shop logs cart-1
expect 0 '^three$' -n shop logs web-1 -c proxy --tail=1
expect 0 '^no redis$' -n shop logs cart-1 --previous
expect 0 '^2026-01-15T08:59:02Z three$' -n shop logs web-1 -c proxy --since-time=2026-01-15T08:59:02Z --timestamps
expect 0 '^coredns_panics_total 0$' get --raw /api/v1/namespaces/kube-system/pods/coredns-1:9153/proxy/metrics
expect 0 '"clusterDNS":\["172.20.0.10"\]' get --raw /api/v1/nodes/ip-10-0-1-10.ec2.internal/proxy/configz
expect 1 'error trying to reach service: dial tcp 10.0.1.20:9153' get --raw /api/v1/namespaces/shop/pods/web-1:9153/proxy/metrics
expect 0 '^web  *Deployment/web  *cpu: 41%/70%.* 2  *6  *3 ' -n shop get hpa
expect 0 '^coredns  *N/A  *1  *0 ' -n kube-system get pdb
expect 0 '^system:coredns  *20' get clusterrole system:coredns
expect 1 'is waiting to start: ContainerCreating' -n shop logs web-2
expect 1 'container nope is not valid for pod web-1' -n shop logs web-1 -c nope
expect 1 'pods "nope" not found' -n shop get pod nope

expect 0 'service/web patched' -n shop patch svc web --type=merge -p '{"spec":{"selector":{"app":"shop"}}}'
expect 0 'service/web patched (no change)' -n shop patch svc web --type=merge -p '{"spec":{"selector":{"app":"shop"}}}'
expect 0 'service/web patched' -n shop patch svc web --type=json -p '[{"op":"replace","path":"/spec/selector","value":{"app":"web"}}]'
expect 0 'service/web patched' -n shop patch svc web -p '{"spec":{"ports":[{"port":80,"name":"http"}]}}'
expect 1 'cannot unmarshal string' -n shop patch svc web --type=merge -p '{"spec":{"selector":"x"}}'
expect 0 'deployment.apps/web scaled (server dry run)' -n shop scale deployment/web --replicas=9 --dry-run=server
expect 0 'deployment.apps/web scaled' -n shop scale deployment/web --current-replicas=2 --replicas=3
expect 1 'xpected replicas to be 2, was 3' -n shop scale deployment/web --current-replicas=2 --replicas=4
expect 0 'annotated' -n shop annotate ingress shop hopwise/test=1 --overwrite
expect 0 'annotated' -n shop annotate ingress shop hopwise/test-
expect 0 'labeled' -n shop label pod web-1 tier=front

cat >"$tmp/policy.yaml" <<'EOF'
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: allow-dns, namespace: shop}
spec:
  podSelector: {}
  egress: [{ports: [{port: 53, protocol: UDP}]}]
EOF
sed 's/port: 53/port: 70000/' "$tmp/policy.yaml" >"$tmp/bad.yaml"
sed 's/podSelector/podSelectro/' "$tmp/policy.yaml" >"$tmp/typo.yaml"
expect 1 'Invalid value: 70000: must be between 1 and 65535' create -f "$tmp/bad.yaml"
expect 1 'unknown field "spec.podSelectro"' create -f "$tmp/typo.yaml"
expect 0 'allow-dns created (server dry run)' create -f "$tmp/policy.yaml" --dry-run=server
expect 0 'allow-dns created' create -f "$tmp/policy.yaml"
expect 1 'already exists' create -f "$tmp/policy.yaml"
expect 0 'allow-dns configured' apply -f "$tmp/policy.yaml"
expect 0 'allow-dns unchanged' apply -f "$tmp/policy.yaml"
expect 0 'serverside-applied' apply --server-side --force-conflicts -f "$tmp/policy.yaml"
expect 0 'allow-dns" deleted.*(server dry run)' -n shop delete netpol allow-dns --dry-run=server
expect 0 'allow-dns" deleted' -n shop delete netpol allow-dns

expect 0 '^yes$' auth can-i list pods
expect 1 '^no$' auth can-i list secrets
expect 0 '^pods/log ' auth can-i --list
expect 1 'secrets is forbidden: User "system:serviceaccount:hopwise:hopwise" cannot list resource "secrets" in API group "" in the namespace "shop"' -n shop get secrets

# A watch of two seconds sees a change, prints its header once, and no more
# than the one pod that was named.
timeout 2 "$kubectl" -n shop get pod web-1 -w >"$tmp/watch" 2>&1 &
watch=$!
sleep 1
expect 0 'labeled' -n shop label pod web-1 tier=back --overwrite
wait $watch
if [ "$(grep -c '^NAME ' "$tmp/watch")" = 1 ] && [ "$(grep -c '^web-1  *2/2  *Running' "$tmp/watch")" -ge 2 ] && ! grep -q web-2 "$tmp/watch"; then
	echo "ok    kubectl get pod -w"
else
	failed=$((failed + 1))
	echo "FAIL  kubectl get pod -w"
	cat "$tmp/watch"
fi

[ "$failed" -eq 0 ] || echo "$failed failed"
[ "$failed" -eq 0 ]
