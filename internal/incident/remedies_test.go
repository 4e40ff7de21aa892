package incident_test

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/diagnose/catalogue"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/facts/collect"
	"github.com/hopwise/hopwise/internal/intents"
	"github.com/hopwise/hopwise/internal/remedy"
	"github.com/hopwise/hopwise/internal/remedy/apply"
	"github.com/hopwise/hopwise/internal/standin"
	"github.com/hopwise/hopwise/internal/world"
)

// A rig is a scenario behind the stand-ins, with the bot's own reader and
// writer on it.
type rig struct {
	t      *testing.T
	apis   *standin.APIs
	reader *collect.Reader
	writer *apply.Writer
	checks []*diagnose.Check
}

func newRig(t *testing.T, scenario string) *rig {
	t.Helper()
	w, err := world.Load(scenario)
	if err != nil {
		t.Fatal(err)
	}
	apis, err := standin.Start(w, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = apis.Close() })
	kube := &rest.Config{Host: apis.KubeURL, BearerToken: standin.KubeToken}
	cloud := &aws.Config{Region: w.Region, BaseEndpoint: &apis.AWSURL, Credentials: credentials.NewStaticCredentialsProvider(standin.AccessKeyID, standin.SecretAccessKey, "")}
	reader, err := collect.New(collect.Config{Kube: kube, AWS: cloud, Cluster: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	writer, err := apply.New(kube, cloud)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t, apis, reader, writer, catalogue.Checks()}
}

func (r *rig) look() *diagnose.Report { return r.lookSince(time.Time{}) }

func (r *rig) lookSince(since time.Time) *diagnose.Report {
	in := intents.Parse(r.apis.World.Ask, intents.Options{Mention: true})
	s, _ := r.reader.Take(context.Background(), diagnose.KindsFor(r.checks, in), in.Target, nil)
	return diagnose.Run(r.checks, s.LogsSince(since), r.apis.World.Ask, in)
}

func keysOf(r *diagnose.Report) (keys []string) {
	for _, f := range r.Findings {
		keys = append(keys, f.Key())
	}
	return keys
}

// Every scenario, read through the real clients from the stand-ins, gives the
// report that it is meant to give. Its first remedy, tried dry, changes
// nothing; done, it has the effect that the scenario states; done again, it
// changes nothing more; undone, the fault is back.
func TestRemedies(t *testing.T) {
	for _, name := range world.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, name)
			before := r.look()
			var want []string
			for _, w := range r.apis.World.Want {
				want = append(want, w.Check+" "+w.Subject)
			}
			if diff := cmp.Diff(want, keysOf(before)); diff != "" {
				t.Fatalf("findings through the APIs (-want +got):\n%s", diff)
			}
			if len(before.Findings) == 0 {
				return
			}
			f := before.Findings[0]
			if len(f.Remedies) == 0 || !f.Remedies[0].Runnable() {
				if after := r.apis.World.After; after != "none" && len(r.apis.World.Faults) == 0 {
					t.Errorf("%s has no remedy that can be run, and the scenario says after: %s", f.Key(), after)
				}
				return
			}
			r.cure(before, f, f.Remedies[0])
		})
	}
}

func (r *rig) cure(before *diagnose.Report, f diagnose.Finding, m remedy.Remedy) {
	t := r.t
	version := r.apis.World.Version()
	for _, a := range m.Actions {
		if _, err := r.writer.DryRun(t.Context(), a); err != nil {
			t.Fatalf("dry run of %s: %v", a.Command(), err)
		}
	}
	if now := r.apis.World.Version(); now != version {
		t.Fatalf("the dry run changed the world")
	}
	changed := time.Now()
	r.do(m.Actions, false)
	after := r.lookSince(changed)
	if v := diagnose.Verify(before, after, f.Key()); string(v.Verdict) != r.apis.World.After {
		t.Errorf("after %q: %s, want %s; findings now %q", m.Title, v.Verdict, r.apis.World.After, keysOf(after))
	}
	r.do(m.Actions, true)
	r.do(m.Undo(), false)
	if len(m.Undo()) > 0 && !r.apis.World.Stays && r.look().Finding(f.Key()) == nil {
		t.Errorf("after the undoing of %q: %s is not back", m.Title, f.Key())
	}
}

// do performs actions; already says whether they must be found done.
func (r *rig) do(actions remedy.Actions, already bool) {
	r.t.Helper()
	for _, a := range actions {
		receipt, err := r.writer.Do(r.t.Context(), a)
		if err != nil {
			r.t.Fatalf("%s: %v", a.Command(), err)
		}
		if receipt.Already != already {
			r.t.Errorf("%s: already %v, want %v", a.Command(), receipt.Already, already)
		}
	}
}

// What the APIs tell is what the pure tests read: the report on the one is the
// report on the other.
func TestReadAgreesWithWorld(t *testing.T) {
	for _, name := range world.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, name)
			s, err := r.apis.World.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			in := intents.Parse(r.apis.World.Ask, intents.Options{Mention: true})
			s.Target = in.Target
			pure, read := diagnose.Run(r.checks, s, r.apis.World.Ask, in), r.look()
			read.At = pure.At
			for i := range pure.Findings { // what is read is redacted on the way
				for j := range pure.Findings[i].Evidence {
					e := &pure.Findings[i].Evidence[j]
					e.Got = facts.Redact(e.Got)
				}
			}
			for i := range read.Unknown {
				read.Unknown[i].Reason = ""
			}
			for i := range pure.Unknown {
				pure.Unknown[i].Reason = ""
			}
			if diff := cmp.Diff(pure, read); diff != "" {
				t.Errorf("report (-world +read):\n%s", diff)
			}
		})
	}
}
