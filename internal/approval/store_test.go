package approval

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hopwise/hopwise/internal/remedy"
)

var (
	quiet = slog.New(slog.DiscardHandler)
	start = time.Date(2025, 3, 4, 10, 0, 0, 0, time.UTC)
)

// onEach runs a test on SQLite, and on Postgres where one is given.
func onEach(t *testing.T, test func(t *testing.T, s *Store)) {
	t.Run(SQLite, func(t *testing.T) { test(t, testStore(t, "sqlite:"+filepath.Join(t.TempDir(), "test.db"))) })
	t.Run(Postgres, func(t *testing.T) { test(t, testStore(t, postgresURL(t))) })
}

// postgresURL is a fresh schema in the database that HOPWISE_TEST_POSTGRES
// names.
func postgresURL(t *testing.T) string {
	base := os.Getenv("HOPWISE_TEST_POSTGRES")
	if base == "" {
		t.Skip("HOPWISE_TEST_POSTGRES is not set")
	}
	db, _, err := OpenURL(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	schema := "test_" + NewID()
	if _, err := db.Exec("CREATE SCHEMA " + schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		db.Exec("DROP SCHEMA " + schema + " CASCADE")
		db.Close()
	})
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

func testStore(t *testing.T, url string) *Store {
	t.Helper()
	s, err := openStore(t, url)
	if err != nil {
		t.Fatal(err)
	}
	s.now = func() time.Time { return start.Add(time.Minute) }
	return s
}

func openStore(t *testing.T, url string) (*Store, error) {
	db, dialect, err := OpenURL(t.Context(), url)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { db.Close() })
	return OpenStore(t.Context(), db, dialect, quiet)
}

// testPolicy: alice and bob approve, so does whoever is in S1A1.
var testPolicy = &Policy{rules: [3]Rule{
	remedy.Safe:        {Users: []string{"UALICE", "UASKER"}, Approvals: 1, AskerMayApprove: true, Expires: time.Hour},
	remedy.Disruptive:  {Users: []string{"UALICE", "UBOB", "UASKER"}, Groups: []string{"S1A1"}, Approvals: 1, Expires: time.Hour},
	remedy.Destructive: {Users: []string{"UALICE", "UBOB"}, Approvals: 2, Expires: time.Hour},
}, ReadOnlyClusters: []string{"frozen"}}

func testProposal(id string, risk remedy.Risk) Proposal {
	p := Proposal{
		ID: id, Run: "run1", Cluster: "shop", Team: "T1", Channel: "C1", Thread: "1.1", Asker: "UASKER",
		FindingKey: "dns/coredns-zero-ready deployments/kube-system/coredns", Claim: "no CoreDNS pod is ready",
		Remedy: remedy.Remedy{Title: "Scale CoreDNS back to 2", Why: "It has none.", Risk: risk, Actions: remedy.Actions{
			remedy.ScaleDeployment{Namespace: "kube-system", Name: "coredns", From: 0, To: 2},
			remedy.SetSelector{Namespace: "shop", Service: "cart", Selector: map[string]string{"app": "cart"}, Before: map[string]string{"app": "crat"}},
			remedy.Annotate{Resource: "ingresses", Namespace: "shop", Name: "web", Values: map[string]*string{"a": nil}},
			remedy.CreateNetworkPolicy{Namespace: "shop", Name: "allow-dns"},
		}},
		DryRun: []string{"ok"},
	}
	return testPolicy.Prepare(p, start)
}

func press(p Proposal, user string, approve bool) Press {
	return Press{Person: Person{ID: user, Team: p.Team, Name: user}, Team: p.Team, Channel: p.Channel, Value: p.ButtonValue(), Approve: approve, At: start.Add(time.Minute)}
}

func propose(t *testing.T, s *Store, p Proposal) Proposal {
	t.Helper()
	if err := s.Propose(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestProposeAndGet(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		p := propose(t, s, testProposal("p1", remedy.Disruptive))
		propose(t, s, p) // again: nothing happens
		if err := s.SetMessage(t.Context(), "p1", "17.5"); err != nil {
			t.Fatal(err)
		}
		p.MessageTS = "17.5"
		got, err := s.Get(t.Context(), "p1")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, got); diff != "" {
			t.Error("-want +got\n" + diff)
		}
		if got.Remedy.Hash() != p.Hash {
			t.Error("the plan's hash does not survive storage")
		}
		other := p
		other.Remedy.Actions = other.Remedy.Actions[:1]
		other.Hash = other.Remedy.Hash()
		if err := s.Propose(t.Context(), other); !errors.Is(err, ErrConflict) {
			t.Errorf("another plan under the same id: %v", err)
		}
		propose(t, s, testProposal("p0", remedy.Safe))
		list, err := s.List(t.Context(), "run1")
		if err != nil || len(list) != 2 || list[0].ID != "p0" {
			t.Errorf("List = %v, %v", list, err)
		}
		if _, err := s.Get(t.Context(), "p9"); !errors.Is(err, ErrNotFound) {
			t.Errorf("Get of nothing: %v", err)
		}
		if err := s.SetMessage(t.Context(), "p9", "1"); !errors.Is(err, ErrNotFound) {
			t.Errorf("SetMessage of nothing: %v", err)
		}
		if n := count(t, s, KindProposal); n != 2 {
			t.Errorf("%d proposals in the audit log, want 2", n)
		}
	})
}

func TestProposeChecks(t *testing.T) {
	s := testStore(t, "sqlite:"+filepath.Join(t.TempDir(), "test.db"))
	for want, change := range map[string]func(*Proposal){
		"lower-case":        func(p *Proposal) { p.ID = "P 1" },
		"hash is not":       func(p *Proposal) { p.Hash = strings.Repeat("0", 64) },
		"nothing to":        func(p *Proposal) { p.Remedy.Actions = nil; p.Hash = p.Remedy.Hash() },
		"at least one":      func(p *Proposal) { p.NeedsVotes = 0 },
		"before it is made": func(p *Proposal) { p.Expires = p.Created },
	} {
		p := testProposal("p1", remedy.Safe)
		change(&p)
		if err := s.Propose(t.Context(), p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestMark(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		p := propose(t, s, testProposal("p1", remedy.Safe))
		ctx := t.Context()
		if err := s.Mark(ctx, "p1", Approved, Applied, "done"); !errors.Is(err, ErrConflict) {
			t.Errorf("applied without approval: %v", err)
		}
		if err := s.Mark(ctx, "p1", Open, Approved, ""); err == nil {
			t.Error("Mark approved a proposal")
		}
		if _, err := s.Decide(ctx, press(p, "UALICE", true), testPolicy); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time is a step that runs again
			if err := s.Mark(ctx, "p1", Approved, Applied, "scaled"); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Mark(ctx, "p1", Approved, Failed, ""); !errors.Is(err, ErrConflict) {
			t.Errorf("failed after applied: %v", err)
		}
		if got, _ := s.Get(ctx, "p1"); got.State != Applied {
			t.Errorf("state %s", got.State)
		}
		if n := count(t, s, KindReceipt); n != 1 {
			t.Errorf("%d receipts, want 1", n)
		}
		if err := s.Mark(ctx, "p9", Open, Stale, ""); !errors.Is(err, ErrNotFound) {
			t.Errorf("Mark of nothing: %v", err)
		}
	})
}

func TestExpireDue(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		propose(t, s, testProposal("p1", remedy.Safe))
		late := testProposal("p2", remedy.Safe)
		late.Expires = start.Add(48 * time.Hour)
		propose(t, s, late)
		due, err := s.ExpireDue(t.Context(), start.Add(time.Hour))
		if err != nil || len(due) != 1 || due[0].ID != "p1" || due[0].State != Expired {
			t.Fatalf("due = %v, %v", due, err)
		}
		if due, err := s.ExpireDue(t.Context(), start.Add(time.Hour)); err != nil || len(due) != 0 {
			t.Errorf("a second time: %v, %v", due, err)
		}
		if n := count(t, s, KindExpiry); n != 1 {
			t.Errorf("%d expiries in the log", n)
		}
	})
}

func TestLock(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx, now := t.Context(), s.now()
		lock := func(holder string, until time.Time, want bool) {
			t.Helper()
			if got, err := s.Lock(ctx, "kube/services/shop/cart", holder, until); err != nil || got != want {
				t.Errorf("Lock for %s = %v, %v", holder, got, err)
			}
		}
		lock("p1", now.Add(time.Minute), true)
		lock("p1", now.Add(2*time.Minute), true)
		lock("p2", now.Add(time.Minute), false)
		if err := s.Unlock(ctx, "kube/services/shop/cart", "p2"); err != nil {
			t.Fatal(err)
		}
		lock("p2", now.Add(time.Minute), false) // it was not p2's to end
		s.now = func() time.Time { return now.Add(2 * time.Minute) }
		lock("p2", now.Add(time.Hour), true) // p1's has run out
		s.Unlock(ctx, "kube/services/shop/cart", "p2")
		lock("p1", now.Add(time.Hour), true)
	})
}

func TestLockIsExclusive(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		var wg sync.WaitGroup
		var mu sync.Mutex
		won := 0
		for i := range 8 {
			wg.Go(func() {
				got, err := s.Lock(t.Context(), "o", fmt.Sprint("p", i), s.now().Add(time.Hour))
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				if got {
					won++
				}
			})
		}
		wg.Wait()
		if won != 1 {
			t.Errorf("%d holders", won)
		}
	})
}

func TestRuns(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		if _, err := s.LatestRun(ctx, "C1", "1.1"); !errors.Is(err, ErrNotFound) {
			t.Errorf("no run: %v", err)
		}
		r := Run{ID: "r1", Team: "T1", Channel: "C1", Thread: "1.1", Cluster: "shop", Asker: "UASKER", Ask: "502, password=hunter22", Started: start, State: "running"}
		later := r
		later.ID, later.Started, later.Report = "r2", start.Add(time.Second), json.RawMessage(`{"findings":[]}`)
		for _, r := range []Run{r, later} {
			if err := s.SaveRun(ctx, r); err != nil {
				t.Fatal(err)
			}
		}
		later.State, later.ReportTS, later.ProgressTS = "reported", "9.9", "9.8"
		if err := s.SaveRun(ctx, later); err != nil {
			t.Fatal(err)
		}
		later.Ask = "502, password=••••••"
		got, err := s.LatestRun(ctx, "C1", "1.1")
		if diff := cmp.Diff(later, got); diff != "" || err != nil {
			t.Errorf("%v -want +got\n%s", err, diff)
		}
		if got, err := s.RunByID(ctx, "r1"); err != nil || got.State != "running" || got.Report != nil {
			t.Errorf("r1 = %+v, %v", got, err)
		}
		later.Report = json.RawMessage(`{`)
		if err := s.SaveRun(ctx, later); err == nil {
			t.Error("a broken report was stored")
		}
	})
}

func TestPosts(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		begin := func(wantBegun bool, wantTS string) {
			t.Helper()
			if begun, ts, err := s.BeginPost(ctx, "r1:report"); err != nil || begun != wantBegun || ts != wantTS {
				t.Errorf("BeginPost = %v, %q, %v", begun, ts, err)
			}
		}
		begin(false, "")
		begin(true, "")
		if err := s.EndPost(ctx, "r1:report", "5.5"); err != nil {
			t.Fatal(err)
		}
		begin(true, "5.5")
		if err := s.EndPost(ctx, "r9", "5.5"); !errors.Is(err, ErrNotFound) {
			t.Errorf("EndPost of nothing: %v", err)
		}
	})
}

func TestCancelled(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Propose(ctx, testProposal("p1", remedy.Safe)); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestOpenTwice(t *testing.T) {
	path := "sqlite:" + filepath.Join(t.TempDir(), "odd name #1%.db")
	propose(t, testStore(t, path), testProposal("p1", remedy.Safe))
	if _, err := testStore(t, path).Get(t.Context(), "p1"); err != nil {
		t.Error(err)
	}
}

func TestStartsAtOnce(t *testing.T) {
	open := func(t *testing.T, url string) {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if _, err := openStore(t, url); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	t.Run(SQLite, func(t *testing.T) { open(t, "sqlite:"+filepath.Join(t.TempDir(), "test.db")) })
	t.Run(Postgres, func(t *testing.T) { open(t, postgresURL(t)) })
}

func TestNewerDatabase(t *testing.T) {
	newer := func(t *testing.T, url string) {
		s := testStore(t, url)
		if _, err := s.db.Exec(`INSERT INTO approval_version (version_id, is_applied) VALUES (99, true)`); err != nil {
			t.Fatal(err)
		}
		_, err := openStore(t, url)
		if err == nil || !strings.Contains(err.Error(), "version 99") || !strings.Contains(err.Error(), "up to 1") || !strings.Contains(err.Error(), "start that one") {
			t.Errorf("got %v", err)
		}
	}
	t.Run(SQLite, func(t *testing.T) { newer(t, "sqlite:"+filepath.Join(t.TempDir(), "test.db")) })
	t.Run(Postgres, func(t *testing.T) { newer(t, postgresURL(t)) })
}

func TestReadOnlyDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	testStore(t, "sqlite:"+path).db.Close()
	_, err := openStore(t, "sqlite:"+path+"?mode=ro")
	if err == nil || !strings.Contains(err.Error(), "the database is read-only: let the bot write") {
		t.Errorf("current tables: %v", err)
	}
	fresh := filepath.Join(t.TempDir(), "fresh.db")
	if err := os.WriteFile(fresh, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = openStore(t, "sqlite:"+fresh+"?mode=ro")
	if err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("no tables yet: %v", err)
	}
	t.Run(Postgres, func(t *testing.T) {
		url := postgresURL(t)
		testStore(t, url)
		_, err := openStore(t, url+"&default_transaction_read_only=on")
		if err == nil || !strings.Contains(err.Error(), "connect to the primary") {
			t.Errorf("got %v", err)
		}
	})
}

func TestLockedDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := testStore(t, "sqlite:"+path)
	conn, err := s.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	_, err = openStore(t, "sqlite:"+path+"?_pragma=busy_timeout(50)")
	if err == nil || !strings.Contains(err.Error(), "the database is locked: another program") {
		t.Errorf("got %v", err)
	}
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if _, err := openStore(t, "sqlite:"+path); err != nil {
		t.Errorf("after the lock: %v", err)
	}
}

func TestOpenURLMistakes(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("this is not a database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]string{
		"":                                     "expected sqlite:PATH or postgres://",
		"mysql://root:hunter22@x/y":            "expected sqlite:PATH or postgres://",
		"sqlite:":                              "needs the path of a file",
		"sqlite::memory:":                      "needs the path of a file",
		"sqlite:" + dir + "/none/x.db":         "make the folder",
		"sqlite:" + dir + "/none/x.db?mode=ro": "its folder must exist",
		"sqlite:" + text:                       "not an SQLite database",
		"postgres://u:hunter22@127.0.0.1:1/x?connect_timeout=2": "open database",
		"postgres://u:hunter22@[::1/x":                          "database URL",
	} {
		_, err := openStore(t, url)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", url, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter22") {
			t.Errorf("%s: the error tells the password: %v", url, err)
		}
	}
	if _, err := OpenStore(t.Context(), &sql.DB{}, "oracle", quiet); err == nil {
		t.Error("a dialect that nobody speaks")
	}
}

func TestDatabaseIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	testStore(t, "sqlite://"+path)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestNewID(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := NewID()
		if !proposalID.MatchString(id) || len(id) < 10 || seen[id] {
			t.Fatalf("bad or repeated id %q", id)
		}
		seen[id] = true
	}
}
