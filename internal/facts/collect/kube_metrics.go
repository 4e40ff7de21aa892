package collect

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hopwise/hopwise/internal/facts"
)

// What is read of metrics at most.
const (
	metricPods  = 4        // of each component
	metricBytes = 4 << 20  // of each pod, before what no check reads is dropped
	metricLine  = 64 << 10 // a longer line is dropped
)

// families are the beginnings of the names of metrics that are kept.
var families = []string{"coredns_", "process_start_time_seconds", "external_dns_"}

// podMetrics reads the metrics of CoreDNS and external-dns through the API
// server. A pod whose port does not answer is left out: the control plane
// often has no way to it, and the pod may have its metrics turned off.
func (k *kubeReader) podMetrics(ctx context.Context, one *once) ([]facts.PodMetric, error) {
	pods, err := k.pods(ctx, one)
	if err != nil {
		return nil, errDepends{facts.Pods.Permission(), err}
	}
	of := members(pods, metricPods, func(c component, p *corev1.Pod) bool { return c.port != "" && p.Status.Phase == corev1.PodRunning })
	return those(len(of), func(i int) (*facts.PodMetric, error) { return k.podMetric(ctx, of[i]) })
}

func (k *kubeReader) podMetric(ctx context.Context, m member) (*facts.PodMetric, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	body, err := k.client.Get().AbsPath("/api/v1/namespaces", m.pod.Namespace, "pods", m.pod.Name+":"+m.port, "proxy/metrics").Stream(ctx)
	if apierrors.IsServiceUnavailable(err) || apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer body.Close()
	text, err := keepFamilies(body)
	if err != nil {
		return nil, err
	}
	return &facts.PodMetric{ObjectMeta: metav1.ObjectMeta{Namespace: m.pod.Namespace, Name: m.pod.Name}, Text: text}, nil
}

// keepFamilies reads metrics and keeps the lines of the families that are
// read. A line that the limit cuts is dropped.
func keepFamilies(r io.Reader) (string, error) {
	var kept strings.Builder
	in := bufio.NewReaderSize(io.LimitReader(r, metricBytes), metricLine)
	for whole := true; ; {
		line, err := in.ReadSlice('\n')
		switch {
		case err == nil && whole && isKept(string(line)):
			kept.Write(line)
		case errors.Is(err, io.EOF):
			return kept.String(), nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return "", err
		}
		whole = err == nil
	}
}

// isKept reports whether a line, or what it comments on, is of one of the
// families.
func isKept(line string) bool {
	for _, comment := range []string{"# HELP ", "# TYPE "} {
		line = strings.TrimPrefix(line, comment)
	}
	for _, f := range families {
		if strings.HasPrefix(line, f) {
			return true
		}
	}
	return false
}
