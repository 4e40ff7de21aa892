package incident

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hopwise/hopwise/internal/diagnose"
	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/slackui"
)

// steps counts what was read, by layer: what the progress message shows.
type steps struct {
	mu    sync.Mutex
	kinds map[facts.Layer][]facts.Kind // still to be read, by the layer that needs them
	total map[facts.Layer]int
	edits int
}

func newSteps(checks []*diagnose.Check) *steps {
	st := &steps{kinds: map[facts.Layer][]facts.Kind{}, total: map[facts.Layer]int{}}
	for _, l := range facts.Layers {
		var in []*diagnose.Check
		for _, c := range checks {
			if c.Layer() == l {
				in = append(in, c)
			}
		}
		st.kinds[l] = diagnose.Kinds(in)
		st.total[l] = len(st.kinds[l])
	}
	return st
}

// done notes that a kind was read, and reports whether a layer became
// complete by it.
func (st *steps) done(k facts.Kind) (complete bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for l, kinds := range st.kinds {
		if i := slices.Index(kinds, k); i >= 0 {
			st.kinds[l] = slices.Delete(kinds, i, i+1)
			complete = complete || len(st.kinds[l]) == 0
		}
	}
	return complete
}

// progress is what the progress message shows.
func (s *Service) progress(in ask, st *steps) slackui.Progress {
	p := slackui.Progress{Run: in.Run, Ask: in.Ask.Text, Asker: in.Ask.User, Cluster: s.Cluster, Started: started(in)}
	if st == nil {
		return p
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.edits++
	p.Edit = st.edits
	for _, l := range facts.Layers {
		state := slackui.Running
		if len(st.kinds[l]) == 0 {
			state = slackui.Done
		}
		read := st.total[l] - len(st.kinds[l])
		p.Steps = append(p.Steps, slackui.Step{Name: l.Title(), State: state, Detail: fmt.Sprintf("%d of %d facts", read, st.total[l])})
	}
	return p
}

// started is the time of the message that asked, as Slack gave it.
func started(in ask) time.Time {
	var sec, frac int64
	if n, _ := fmt.Sscanf(in.Ask.TS, "%d.%d", &sec, &frac); n == 0 {
		return now()
	}
	return time.Unix(sec, 0).UTC()
}
