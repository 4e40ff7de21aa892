package kube

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/hopwise/hopwise/internal/facts"
	"github.com/hopwise/hopwise/internal/world"
)

// A continueToken says where a list goes on. Clients take it as opaque.
type continueToken struct {
	Version int64  `json:"rv"` // of the snapshot; -1: whatever is there now
	Start   string `json:"start"`
}

func (t continueToken) String() string {
	return base64.RawURLEncoding.EncodeToString(mustJSON(t))
}

func parseContinue(raw string) (continueToken, error) {
	var t continueToken
	b, err := base64.RawURLEncoding.DecodeString(raw)
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	if err != nil || t.Start == "" {
		return t, apierrors.NewBadRequest("continue key is not valid: " + raw)
	}
	return t, nil
}

// expired is the answer to a token whose snapshot is gone. It carries a token
// with which the client can go on, at the price of consistency.
func expired(t continueToken) error {
	err := apierrors.NewResourceExpired("The provided continue parameter is too old to display a consistent list result. " +
		"You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. " +
		"Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.")
	err.ErrStatus.ListMeta.Continue = continueToken{-1, t.Start}.String()
	return err
}

// A snapshot is a kind's objects at one version of the world.
type snapshot struct {
	docs    []world.Doc
	version int64
}

// A pageStore keeps the snapshots whose lists are read in pages, for as long
// as etcd keeps old versions (five minutes) and at most maxPages.
type pageStore struct {
	mu   sync.Mutex
	kept []keptPage // oldest first
}

type keptPage struct {
	kind facts.Kind
	snap snapshot
	at   time.Time
}

const (
	maxPages = 32
	pageLife = 5 * time.Minute
)

func (p *pageStore) keep(kind facts.Kind, snap snapshot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.index(kind, snap.version) >= 0 {
		return
	}
	p.kept = append(p.kept, keptPage{kind, snap, time.Now()})
	if n := len(p.kept) - maxPages; n > 0 {
		p.kept = slices.Delete(p.kept, 0, n)
	}
}

func (p *pageStore) find(kind facts.Kind, version int64) (snapshot, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept = slices.DeleteFunc(p.kept, func(k keptPage) bool { return time.Since(k.at) > pageLife })
	if i := p.index(kind, version); i >= 0 {
		return p.kept[i].snap, true
	}
	return snapshot{}, false
}

func (p *pageStore) index(kind facts.Kind, version int64) int {
	return slices.IndexFunc(p.kept, func(k keptPage) bool { return k.kind == kind && k.snap.version == version })
}

func (p *pageStore) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept = nil
}
