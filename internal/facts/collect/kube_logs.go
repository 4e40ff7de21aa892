package collect

import (
	"context"
	"io"
	"regexp"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hopwise/hopwise/internal/facts"
)

// What is read of a log at most.
const (
	logPods      = 8         // of each component
	logLines     = 2000      //
	previousTail = 200       // lines of the instance before: its end says why it ended
	logSince     = 3600      // seconds
	logBytes     = 512 << 10 //
	lineBytes    = 4 << 10   // what is longer is cut
)

// podLogs reads what the main containers of the DNS components wrote in the
// last hour.
func (k *kubeReader) podLogs(ctx context.Context, one *once) ([]facts.PodLog, error) {
	pods, err := k.pods(ctx, one)
	if err != nil {
		return nil, errDepends{facts.Pods.Permission(), err}
	}
	of := members(pods, logPods, func(_ component, p *corev1.Pod) bool { // of those that ended for good, as evicted ones, no log is kept
		return p.Status.Phase != corev1.PodFailed && p.Status.Phase != corev1.PodSucceeded
	})
	return those(len(of), func(i int) (*facts.PodLog, error) { return k.podLog(ctx, of[i]) })
}

func (k *kubeReader) podLog(ctx context.Context, m member) (*facts.PodLog, error) {
	log := &facts.PodLog{ObjectMeta: metav1.ObjectMeta{Namespace: m.pod.Namespace, Name: m.pod.Name}, Container: m.container}
	err := parallel(2, func(i int) (err error) {
		switch {
		case i == 0:
			log.Text, err = k.log(ctx, m, false, logLines)
		case m.status.RestartCount > 0 && m.status.LastTerminationState.Terminated != nil:
			log.Previous, err = k.log(ctx, m, true, previousTail)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return log, nil
}

// log returns the newest lines of a container, redacted. The limit of bytes
// cuts what is newest, so a log of long lines is asked for fewer of them.
func (k *kubeReader) log(ctx context.Context, m member, previous bool, lines int) (string, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	text, err := k.tail(ctx, m, previous, lines)
	if err == nil && len(text) >= logBytes {
		text, err = k.tail(ctx, m, previous, lines/20)
	}
	if apierrors.IsBadRequest(err) { // it never started, or its log is gone
		return "", nil
	}
	if end := strings.LastIndexByte(text, '\n'); len(text) >= logBytes && end >= 0 {
		text = text[:end+1] // the last line is a part of one
	}
	return redactLog(text), err
}

func (k *kubeReader) tail(ctx context.Context, m member, previous bool, lines int) (string, error) {
	body, err := k.client.Get().AbsPath("/api/v1/namespaces", m.pod.Namespace, "pods", m.pod.Name, "log").
		Param("container", m.container).Param("previous", strconv.FormatBool(previous)).Param("timestamps", "true").
		Param("tailLines", strconv.Itoa(lines)).Param("sinceSeconds", strconv.Itoa(logSince)).Param("limitBytes", strconv.Itoa(logBytes)).
		Stream(ctx)
	if err != nil {
		return "", err
	}
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, logBytes))
	return string(text), err
}

var keyBegins = regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----`)

// redactLog redacts each line by itself: a secret's name at the end of one
// must not take the time at the beginning of the next. A private key is the
// one secret of several lines.
func redactLog(text string) string {
	var out strings.Builder
	inKey := false
	for line := range strings.Lines(text) {
		if inKey {
			inKey = !strings.Contains(line, "-----END ")
			continue
		}
		if begin := keyBegins.FindStringIndex(line); begin != nil {
			inKey = !strings.Contains(line[begin[1]:], "-----END ")
		}
		out.WriteString(redactLine(strings.TrimSuffix(line, "\n")))
		out.WriteByte('\n')
	}
	return out.String()
}

// redactLine redacts and shortens a line. It redacts more than it keeps, so
// that the cut is not in a secret.
func redactLine(line string) string {
	long := len(line) > lineBytes
	line = facts.Redact(line[:min(len(line), 2*lineBytes)])
	if !long || len(line) <= lineBytes {
		return line
	}
	return strings.ToValidUTF8(line[:lineBytes], "") + "…"
}
