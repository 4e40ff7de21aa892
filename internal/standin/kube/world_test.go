package kube_test

import (
	"net/http/httptest"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/hopwise/hopwise/internal/standin/kube"
	"github.com/hopwise/hopwise/internal/world"
)

// shop is a small cluster with one pod in each state that kubectl names
// differently.
const shop = `A shop with pods in every state.

base: none

-- kube/namespaces.yaml --
items:
- metadata: {name: kube-system, creationTimestamp: "2026-01-01T00:00:00Z"}
  status: {phase: Active}
- metadata: {name: shop, creationTimestamp: "2026-01-01T00:00:00Z"}
  status: {phase: Active}
-- kube/nodes.yaml --
items:
- metadata: {name: ip-10-0-1-10.ec2.internal, creationTimestamp: "2026-01-01T00:00:00Z"}
  status:
    conditions: [{type: Ready, status: "True"}]
    addresses: [{type: InternalIP, address: 10.0.1.10}]
    nodeInfo: {kubeletVersion: v1.33.1-eks-1, osImage: Amazon Linux 2023, kernelVersion: 6.1.0, containerRuntimeVersion: containerd://1.7.27}
-- kube/pods.yaml --
items:
- metadata: {name: web-1, namespace: shop, labels: {app: web}, creationTimestamp: "2026-01-15T08:00:00Z"}
  spec: {nodeName: ip-10-0-1-10.ec2.internal, containers: [{name: web, image: "shop/web:1"}, {name: proxy, image: "shop/proxy:1"}]}
  status:
    phase: Running
    podIP: 10.0.1.20
    containerStatuses:
    - {name: web, ready: true, restartCount: 0, image: "shop/web:1", imageID: a, state: {running: {startedAt: "2026-01-15T08:00:05Z"}}}
    - {name: proxy, ready: true, restartCount: 0, image: "shop/proxy:1", imageID: a, state: {running: {startedAt: "2026-01-15T08:00:05Z"}}}
- metadata: {name: web-2, namespace: shop, labels: {app: web}, creationTimestamp: "2026-01-15T08:00:00Z"}
  spec: {nodeName: ip-10-0-1-10.ec2.internal, containers: [{name: web, image: "shop/web:1"}]}
  status:
    phase: Pending
    containerStatuses:
    - {name: web, ready: false, restartCount: 0, image: "shop/web:1", imageID: "", state: {waiting: {reason: ContainerCreating}}}
- metadata: {name: cart-1, namespace: shop, labels: {app: cart}, creationTimestamp: "2026-01-15T08:00:00Z"}
  spec: {nodeName: ip-10-0-1-10.ec2.internal, containers: [{name: cart, image: "shop/cart:1"}]}
  status:
    phase: Running
    podIP: 10.0.1.21
    containerStatuses:
    - name: cart
      ready: false
      restartCount: 7
      image: "shop/cart:1"
      imageID: a
      state: {waiting: {reason: CrashLoopBackOff}}
      lastState: {terminated: {exitCode: 1, reason: Error, finishedAt: "2026-01-15T08:55:00Z"}}
- metadata: {name: stock-1, namespace: shop, labels: {app: stock}, creationTimestamp: "2026-01-15T08:00:00Z"}
  spec: {nodeName: ip-10-0-1-10.ec2.internal, containers: [{name: stock, image: "shop/stock:none"}]}
  status:
    phase: Pending
    containerStatuses:
    - {name: stock, ready: false, restartCount: 0, image: "shop/stock:none", imageID: "", state: {waiting: {reason: ImagePullBackOff}}}
- metadata: {name: stock-2, namespace: shop, labels: {app: stock}, creationTimestamp: "2026-01-15T08:00:00Z"}
  spec: {containers: [{name: stock, image: "shop/stock:1"}]}
  status: {phase: Pending}
- metadata: {name: coredns-1, namespace: kube-system, labels: {k8s-app: kube-dns}, creationTimestamp: "2026-01-15T08:00:00Z"}
  spec: {nodeName: ip-10-0-1-10.ec2.internal, containers: [{name: coredns, image: coredns}]}
  status:
    phase: Running
    podIP: 10.0.1.22
    containerStatuses:
    - {name: coredns, ready: true, restartCount: 0, image: coredns, imageID: a, state: {running: {startedAt: "2026-01-15T08:00:05Z"}}}
-- kube/services.yaml --
items:
- metadata: {name: web, namespace: shop, labels: {app: web}, creationTimestamp: "2026-01-15T08:00:00Z"}
  spec: {type: NodePort, clusterIP: 172.20.1.1, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080, nodePort: 30080, protocol: TCP}, {name: admin, port: 9000, protocol: TCP}]}
- metadata: {name: edge, namespace: shop, creationTimestamp: "2026-01-15T08:00:00Z"}
  spec: {type: LoadBalancer, clusterIP: 172.20.1.2, selector: {app: web}, ports: [{port: 80, protocol: TCP}]}
- metadata: {name: stock, namespace: shop, creationTimestamp: "2026-01-15T08:00:00Z"}
  spec: {type: ClusterIP, clusterIP: None}
-- kube/deployments.yaml --
items:
- metadata: {name: web, namespace: shop, labels: {app: web}, generation: 3, creationTimestamp: "2026-01-15T08:00:00Z"}
  spec:
    replicas: 2
    selector: {matchLabels: {app: web}}
    template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: "shop/web:1", env: [{name: A, value: "1"}]}]}}
  status: {replicas: 2, readyReplicas: 1, updatedReplicas: 2, availableReplicas: 1}
-- kube/daemonsets.yaml --
items:
- metadata: {name: aws-node, namespace: kube-system, creationTimestamp: "2026-01-15T08:00:00Z"}
  spec:
    selector: {matchLabels: {k8s-app: aws-node}}
    template: {metadata: {labels: {k8s-app: aws-node}}, spec: {nodeSelector: {kubernetes.io/os: linux}, containers: [{name: aws-node, image: cni}]}}
  status: {desiredNumberScheduled: 1, currentNumberScheduled: 1, numberReady: 1, updatedNumberScheduled: 1, numberAvailable: 1, numberMisscheduled: 0}
-- kube/ingresses.yaml --
items:
- metadata: {name: shop, namespace: shop, annotations: {alb.ingress.kubernetes.io/scheme: internet-facing}, creationTimestamp: "2026-01-15T08:00:00Z"}
  spec:
    ingressClassName: alb
    rules: [{host: shop.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
  status: {loadBalancer: {ingress: [{hostname: k8s-shop.elb.amazonaws.com}]}}
-- kube/networkpolicies.yaml --
items:
- metadata: {name: default-deny, namespace: shop, creationTimestamp: "2026-01-15T08:00:00Z"}
  spec: {podSelector: {}, policyTypes: [Ingress]}
-- kube/endpointslices.yaml --
items:
- metadata: {name: web-abc, namespace: shop, labels: {kubernetes.io/service-name: web}, creationTimestamp: "2026-01-15T08:00:00Z"}
  addressType: IPv4
  ports: [{name: http, port: 8080, protocol: TCP}]
  endpoints: [{addresses: [10.0.1.20], conditions: {ready: true}}]
-- kube/targetgroupbindings.yaml --
items:
- metadata: {name: k8s-shop-web, namespace: shop, creationTimestamp: "2026-01-15T08:00:00Z"}
  spec: {targetGroupARN: "arn:aws:tg/1", targetType: ip, serviceRef: {name: web, port: 80}}
-- kube/events.yaml --
items:
- metadata: {name: web-2.1, namespace: shop, creationTimestamp: "2026-01-15T08:01:00Z"}
  involvedObject: {kind: Pod, namespace: shop, name: web-2}
  type: Warning
  reason: FailedCreatePodSandBox
  message: "failed to assign an IP address to container"
  source: {component: kubelet, host: ip-10-0-1-10.ec2.internal}
  firstTimestamp: "2026-01-15T08:01:00Z"
  lastTimestamp: "2026-01-15T08:59:00Z"
  count: 12
-- kube/secrets.yaml --
items:
- metadata: {name: db, namespace: shop}
  data: {password: aHVudGVyMg==}
-- kube/pod-logs.yaml --
items:
- metadata: {name: cart-1, namespace: shop}
  container: cart
  text: |
    2026-01-15T08:59:00Z starting
    2026-01-15T08:59:01Z connect redis: timeout
  previous: |
    2026-01-15T08:55:00Z no redis
- metadata: {name: web-1, namespace: shop}
  container: proxy
  text: |
    2026-01-15T08:59:00Z one
    2026-01-15T08:59:01Z two
    2026-01-15T08:59:02Z three
-- kube/pod-metrics.yaml --
items:
- metadata: {name: coredns-1, namespace: kube-system}
  text: |
    coredns_panics_total 0
-- kube/kubelet-configs.yaml --
items:
- metadata: {name: ip-10-0-1-10.ec2.internal}
  kubeletconfig: {clusterDNS: [172.20.0.10], clusterDomain: cluster.local}
-- kube/serviceaccounts.yaml --
items:
- metadata: {name: coredns, namespace: kube-system, creationTimestamp: "2026-01-15T08:00:00Z"}
-- kube/horizontalpodautoscalers.yaml --
items:
- metadata: {name: web, namespace: shop, creationTimestamp: "2026-01-15T08:00:00Z"}
  spec:
    scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
    minReplicas: 2
    maxReplicas: 6
    metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}}, {type: Resource, resource: {name: memory, target: {type: AverageValue, averageValue: 500Mi}}}, {type: External, external: {metric: {name: queue}, target: {type: Value, value: "9"}}}]
  status: {currentReplicas: 3, desiredReplicas: 3, currentMetrics: [{type: Resource, resource: {name: cpu, current: {averageUtilization: 41}}}]}
-- kube/poddisruptionbudgets.yaml --
items:
- metadata: {name: coredns, namespace: kube-system, creationTimestamp: "2026-01-15T08:00:00Z"}
  spec: {maxUnavailable: 1, selector: {matchLabels: {k8s-app: kube-dns}}}
  status: {currentHealthy: 1, desiredHealthy: 1, disruptionsAllowed: 0, expectedPods: 1}
-- kube/clusterroles.yaml --
items:
- metadata: {name: "system:coredns", creationTimestamp: "2026-01-15T08:00:00Z"}
  rules: [{apiGroups: [""], resources: [endpoints], verbs: [list, watch]}]
`

func parse(t testing.TB, scenario string) *world.World {
	t.Helper()
	w, err := world.Parse("test", []byte(scenario))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// start serves a scenario and returns what a client needs to talk to it.
func start(t testing.TB, scenario string) (*kube.Server, *world.World, *rest.Config) {
	t.Helper()
	w := parse(t, scenario)
	s := kube.New(w, kube.Options{Token: "secret"})
	ts := httptest.NewServer(s)
	t.Cleanup(ts.Close)
	return s, w, &rest.Config{Host: ts.URL, BearerToken: "secret", QPS: -1}
}
