package kube

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/hopwise/hopwise/internal/world"
)

// logs answers with the lines that a container wrote, from the world.
func (s *Server) logs(c *call) error {
	version := s.world.Version()
	d, err := s.world.Get(c.kind(), c.id())
	if err != nil {
		return c.worldError(err)
	}
	pod, err := world.Decode[corev1.Pod](d)
	if err != nil {
		return err
	}
	container, err := chooseContainer(&pod, c.query.Get("container"))
	if err != nil {
		return err
	}
	if err := hasLogs(&pod, container, c.query.Get("previous") == "true"); err != nil {
		return err
	}
	lines, err := c.logOf(s.world, &pod, container)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "text/plain")
	c.w.WriteHeader(http.StatusOK)
	io.WriteString(c.w, lines)
	if c.query.Get("follow") == "true" {
		s.follow(c, version)
	}
	return nil
}

// logOf returns what a container wrote, or its previous instance, with times
// before the lines only if they were asked for.
func (c *call) logOf(w *world.World, pod *corev1.Pod, container string) (string, error) {
	text, previous := w.Log(pod.Namespace, pod.Name, container)
	if c.query.Get("previous") == "true" {
		text = previous
	}
	since, err := c.since(w.At())
	if err != nil {
		return "", err
	}
	stamps := c.query.Get("timestamps") == "true"
	var out strings.Builder
	for line := range strings.Lines(text) {
		stamp, rest, _ := strings.Cut(line, " ")
		written, err := time.Parse(time.RFC3339Nano, stamp)
		switch {
		case err == nil && written.Before(since):
		case err == nil && !stamps:
			out.WriteString(rest)
		default:
			out.WriteString(line)
		}
	}
	return c.tail(out.String())
}

// since is the time from which c wants lines: sinceTime, or sinceSeconds
// before now, which is when the world is. Zero for all lines.
func (c *call) since(now time.Time) (time.Time, error) {
	seconds, at := c.query.Get("sinceSeconds"), c.query.Get("sinceTime")
	if seconds != "" && at != "" {
		return time.Time{}, invalidLogOption("sinceSeconds", seconds, "at most one of `sinceTime` or `sinceSeconds` may be specified")
	}
	if at != "" {
		t, err := time.Parse(time.RFC3339Nano, at)
		if err != nil {
			return t, apierrors.NewBadRequest(fmt.Sprintf("sinceTime: %v", err))
		}
		return t, nil
	}
	if seconds == "" {
		return time.Time{}, nil
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || n < 1 {
		return time.Time{}, invalidLogOption("sinceSeconds", seconds, "must be greater than 0")
	}
	return now.Add(-time.Duration(n) * time.Second), nil
}

func invalidLogOption(name, value, detail string) error {
	return apierrors.NewInvalid(schema.GroupKind{Kind: "PodLogOptions"}, "", field.ErrorList{field.Invalid(field.NewPath(name), value, detail)})
}

// chooseContainer returns the container that was asked for, or the only one.
func chooseContainer(pod *corev1.Pod, asked string) (string, error) {
	var names, inits []string
	for _, ct := range pod.Spec.Containers {
		names = append(names, ct.Name)
	}
	for _, ct := range pod.Spec.InitContainers {
		inits = append(inits, ct.Name)
	}
	switch {
	case asked != "" && (slices.Contains(names, asked) || slices.Contains(inits, asked)):
		return asked, nil
	case asked != "":
		return "", apierrors.NewBadRequest(fmt.Sprintf("container %s is not valid for pod %s", asked, pod.Name))
	case len(names) == 1:
		return names[0], nil
	case len(names) == 0:
		return "", apierrors.NewBadRequest(fmt.Sprintf("a container name must be specified for pod %s", pod.Name))
	}
	msg := fmt.Sprintf("a container name must be specified for pod %s, choose one of: %v", pod.Name, names)
	if len(inits) > 0 {
		msg += fmt.Sprintf(" or one of the init containers: %v", inits)
	}
	return "", apierrors.NewBadRequest(msg)
}

// hasLogs refuses the log of a container that has not run, in the words of the
// kubelet.
func hasLogs(pod *corev1.Pod, container string, previous bool) error {
	for _, st := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if st.Name != container {
			continue
		}
		if previous && st.LastTerminationState.Terminated == nil {
			return apierrors.NewBadRequest(fmt.Sprintf("previous terminated container %q in pod %q not found", container, pod.Name))
		}
		if w := st.State.Waiting; w != nil && st.LastTerminationState.Terminated == nil && !previous {
			return apierrors.NewBadRequest(fmt.Sprintf("container %q in pod %q is waiting to start: %s", container, pod.Name, w.Reason))
		}
		return nil
	}
	if pod.Status.Phase == corev1.PodPending && pod.Spec.NodeName == "" {
		return apierrors.NewBadRequest(fmt.Sprintf("pod %s does not have a host assigned", pod.Name))
	}
	return nil
}

// tail cuts text as tailLines and limitBytes say.
func (c *call) tail(text string) (string, error) {
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	if v := c.query.Get("tailLines"); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < 0 {
			return "", invalidLogOption("tailLines", v, "must be greater than or equal to 0")
		}
		lines := strings.SplitAfter(text, "\n")
		lines = lines[:len(lines)-1] // what follows the last newline: nothing
		if n < int64(len(lines)) {
			lines = lines[int64(len(lines))-n:]
		}
		text = strings.Join(lines, "")
	}
	limit, err := c.number("limitBytes")
	if err != nil {
		return "", err
	}
	if limit > 0 && limit < int64(len(text)) {
		text = text[:limit]
	}
	return text, nil
}

// follow waits until the pod is gone, its world ends or the client leaves:
// recorded containers write nothing more.
func (s *Server) follow(c *call, version int64) {
	_ = http.NewResponseController(c.w).Flush() // cannot stream: the lines come at the end
	events, stop, err := s.world.Watch(c.kind(), version)
	if err != nil {
		return
	}
	defer stop()
	for {
		select {
		case ev, ok := <-events:
			if !ok || ev.Type == "DELETED" && ev.ID == c.id() {
				return
			}
		case <-c.r.Context().Done():
			return
		}
	}
}
