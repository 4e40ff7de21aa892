package kube

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/world"
)

// proxy answers what a pod or a kubelet would: the metrics of a pod and the
// configuration of a kubelet, where the world has them. All else does not
// answer.
func (s *Server) proxy(c *call) error {
	host, port, _ := strings.Cut(c.name, ":")
	c.name = host
	d, err := s.world.Get(c.kind(), c.id())
	if err != nil {
		return c.worldError(err)
	}
	if c.res.kind == "Node" {
		return s.proxyNode(c, d)
	}
	return s.proxyPod(c, d, port)
}

func (s *Server) proxyPod(c *call, d world.Doc, port string) error {
	pod, err := world.Decode[corev1.Pod](d)
	if err != nil {
		return err
	}
	text := s.world.Metrics(pod.Namespace, pod.Name)
	if text == "" || !listens(&pod, port) {
		return notReached(pod.Status.PodIP, port)
	}
	if c.rest != "metrics" {
		http.NotFound(c.w, c.r)
		return nil
	}
	c.w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	c.w.WriteHeader(http.StatusOK)
	io.WriteString(c.w, text)
	return nil
}

// listens reports whether a pod that tells metrics does so at a port: one that
// its containers declare, or any if they declare none.
func listens(pod *corev1.Pod, port string) bool {
	var declared []string
	for _, ct := range pod.Spec.Containers {
		for _, p := range ct.Ports {
			declared = append(declared, strconv.Itoa(int(p.ContainerPort)))
		}
	}
	return len(declared) == 0 || slices.Contains(declared, port)
}

func (s *Server) proxyNode(c *call, node world.Doc) error {
	d, err := s.world.Get(facts.KubeletConfigs.Kind(), c.name)
	if err != nil {
		return notReached(nodeIP(node), "10250")
	}
	if c.rest != "configz" {
		http.NotFound(c.w, c.r)
		return nil
	}
	writeJSON(c.w, http.StatusOK, world.Doc{"kubeletconfig": d["kubeletconfig"]})
	return nil
}

func nodeIP(d world.Doc) string {
	if node, err := world.Decode[corev1.Node](d); err == nil {
		for _, a := range node.Status.Addresses {
			if a.Type == corev1.NodeInternalIP {
				return a.Address
			}
		}
	}
	return ""
}

// notReached is what the API server says when nobody answers behind it.
func notReached(ip, port string) error {
	return statusError(http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable,
		fmt.Sprintf("error trying to reach service: dial tcp %s:%s: connect: connection refused", ip, port))
}
