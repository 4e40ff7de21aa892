// Package standin starts the loopback stand-ins of the Kubernetes and AWS
// APIs in front of one world. The demo, `bot diagnose --scenario` and the
// tests talk to them with the same clients as to the real ones.
package standin

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/hopwise/hopwise/internal/standin/aws"
	"github.com/hopwise/hopwise/internal/standin/kube"
	"github.com/hopwise/hopwise/internal/world"
)

// Credentials of the stand-ins. They are no secret: nothing but a loopback
// listener takes them.
const (
	AccessKeyID     = "AKIAHOPWISEDEMO00000"
	SecretAccessKey = "hopwise-demo-secret-access-key"
	KubeToken       = "demo"
)

// APIs are the running stand-ins of one world.
type APIs struct {
	World   *world.World
	Kube    *kube.Server
	AWS     *aws.Server
	KubeURL string
	AWSURL  string

	servers []*http.Server
}

// Start listens on loopback. delay is how long each API call takes beside
// its own work.
func Start(w *world.World, delay time.Duration, log *slog.Logger) (*APIs, error) {
	w.Rebase(time.Now())
	a := &APIs{
		World: w,
		Kube:  kube.New(w, kube.Options{Log: log, Delay: delay, Token: KubeToken}),
		AWS:   aws.New(w, aws.Options{Log: log, Delay: delay, AccessKeyID: AccessKeyID, SecretAccessKey: SecretAccessKey}),
	}
	var err error
	if a.KubeURL, err = a.serve(a.Kube); err == nil {
		a.AWSURL, err = a.serve(a.AWS)
	}
	if err != nil {
		a.Close()
		return nil, fmt.Errorf("start the stand-ins: %w", err)
	}
	return a, nil
}

func (a *APIs) serve(h http.Handler) (url string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	a.servers = append(a.servers, srv)
	go func() { _ = srv.Serve(l) }()
	return "http://" + l.Addr().String(), nil
}

// Reset makes the world another one, or the same from its start.
func (a *APIs) Reset(w *world.World) {
	w.Rebase(time.Now())
	a.World.Become(w)
	a.Kube.Reset()
	a.AWS.ResetCalls()
}

// Close ends the listeners and all that hangs on them.
func (a *APIs) Close() error {
	var errs []error
	for _, s := range a.servers {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
