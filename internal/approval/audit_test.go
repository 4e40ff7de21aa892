package approval

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hopwise/hopwise/internal/remedy"
)

// entries reads the whole log.
func entries(t *testing.T, s *Store) []Entry {
	t.Helper()
	var list []Entry
	err := s.walk(t.Context(), func(body []byte, _ string) error {
		var e Entry
		list = append(list, e)
		return json.Unmarshal(body, &list[len(list)-1])
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func count(t *testing.T, s *Store, kind Kind) int {
	t.Helper()
	n := 0
	for _, e := range entries(t, s) {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

func fill(t *testing.T, s *Store, n int) {
	t.Helper()
	for i := range n {
		e := Entry{Kind: KindAsk, Run: "r1", Actor: "UASKER", Text: fmt.Sprintf("ask %d <@U1> & \u2028 \x00 \xff", i), Data: map[string]string{"z": "1", "a": "2"}}
		if err := s.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAuditChain(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		if n, err := s.Verify(t.Context()); n != 0 || err != nil {
			t.Errorf("empty log: %d, %v", n, err)
		}
		fill(t, s, 5)
		if n, err := s.Verify(t.Context()); n != 5 || err != nil {
			t.Errorf("Verify = %d, %v", n, err)
		}
		var out bytes.Buffer
		if err := s.Export(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		if n, err := VerifyExport(bytes.NewReader(out.Bytes())); n != 5 || err != nil {
			t.Errorf("VerifyExport = %d, %v", n, err)
		}
		seq, hash, err := s.Head(t.Context())
		if err != nil || seq != 5 || !strings.Contains(out.String(), hash) {
			t.Errorf("Head = %d %s %v", seq, hash, err)
		}
	})
}

func TestAuditRedacts(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		const token = "xoxb-1234567890-abcdefgh"
		err := s.Append(t.Context(), Entry{Kind: KindAsk, Text: "my token " + token, Data: map[string]string{"note": token}})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := s.Export(t.Context(), &out); err != nil || strings.Contains(out.String(), token) {
			t.Errorf("%v %s", err, out.String())
		}
	})
}

func TestAuditOnce(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		for range 3 {
			if err := s.Append(t.Context(), Entry{Kind: KindApply, Key: "p1:apply", Text: "scale"}); err != nil {
				t.Fatal(err)
			}
		}
		fill(t, s, 2) // without a key each counts
		if n := len(entries(t, s)); n != 3 {
			t.Errorf("%d entries, want 3", n)
		}
	})
}

func TestAuditIsAppendOnly(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		fill(t, s, 2)
		queries := []string{`UPDATE audit SET hash = 'x'`, `DELETE FROM audit`, `DELETE FROM audit WHERE seq = 2`}
		if s.dialect == SQLite {
			queries = append(queries, `INSERT OR REPLACE INTO audit (seq, body, hash) VALUES (1, '{}', 'x')`)
		} else {
			queries = append(queries, `TRUNCATE audit`, `INSERT INTO audit (seq, body, hash) VALUES (1, '{}', 'x') ON CONFLICT (seq) DO UPDATE SET hash = 'x'`)
		}
		for _, q := range queries {
			if _, err := s.db.Exec(q); err == nil || !strings.Contains(err.Error(), "append-only") {
				t.Errorf("%s: %v", q, err)
			}
		}
		if n, err := s.Verify(t.Context()); n != 2 || err != nil {
			t.Errorf("Verify = %d, %v", n, err)
		}
	})
}

// Whoever takes the triggers away can change rows, but not unseen.
func TestAuditTampering(t *testing.T) {
	other := Entry{Seq: 3, At: start, Kind: KindAsk, Text: "nothing happened"}
	body, _ := other.canonical(start)
	for name, tt := range map[string]struct {
		query string
		args  []any
		want  string
	}{
		"text changed":           {`UPDATE audit SET body = replace(body, 'ask 2', 'ask 7') WHERE seq = 3`, nil, "entry 3 was changed"},
		"text and hash changed":  {`UPDATE audit SET body = ?, hash = ? WHERE seq = 3`, []any{string(body), hashOf(body)}, "entry 3 does not follow"},
		"entry removed":          {`DELETE FROM audit WHERE seq = 3`, nil, "entry 3 is missing"},
		"first removed":          {`DELETE FROM audit WHERE seq = 1`, nil, "entry 1 is missing"},
		"no JSON":                {`UPDATE audit SET body = '}' WHERE seq = 3`, nil, "entry 3 cannot be read"},
		"two entries swapped":    {`UPDATE audit SET seq = CASE seq WHEN 2 THEN 30 ELSE 20 END WHERE seq IN (2, 3)`, nil, "entry 2 is missing"},
		"entry put in between":   {`INSERT INTO audit (seq, body, hash) SELECT -1, body, hash FROM audit WHERE seq = 2`, nil, "entry 1 is missing"},
		"hash of the last wrong": {`UPDATE audit SET hash = 'x' WHERE seq = 5`, nil, "entry 5 was changed"},
	} {
		t.Run(name, func(t *testing.T) {
			s := testStore(t, "sqlite:"+filepath.Join(t.TempDir(), "test.db"))
			fill(t, s, 5)
			for _, trigger := range []string{"audit_no_update", "audit_no_delete", "audit_no_replace"} {
				if _, err := s.db.Exec("DROP TRIGGER " + trigger); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := s.db.Exec(tt.query, tt.args...); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Verify(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Verify: %v, want %s", err, tt.want)
			}
			var out bytes.Buffer
			if err := s.Export(t.Context(), &out); err != nil {
				t.Fatal(err)
			}
			if _, err := VerifyExport(&out); err == nil {
				t.Error("the export passes")
			}
		})
	}
}

func TestVerifyExportTampering(t *testing.T) {
	s := testStore(t, "sqlite:"+filepath.Join(t.TempDir(), "test.db"))
	fill(t, s, 4)
	var out bytes.Buffer
	if err := s.Export(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(out.String(), "\n")
	for name, text := range map[string]string{
		"changed": strings.Replace(out.String(), "ask 1", "ask 9", 1),
		"cut out": lines[0] + lines[2] + lines[3],
		"swapped": lines[1] + lines[0],
		"garbage": lines[0] + "hello\n",
	} {
		if n, err := VerifyExport(strings.NewReader(text)); err == nil {
			t.Errorf("%s: %d entries pass", name, n)
		}
	}
	if n, err := VerifyExport(strings.NewReader(lines[0] + lines[1])); n != 2 || err != nil {
		t.Errorf("the beginning alone: %d, %v", n, err)
	}
}

// Many writers, several handles on one database: one unbroken chain.
func TestAuditConcurrent(t *testing.T) {
	run := func(t *testing.T, url string) {
		stores := []*Store{testStore(t, url), testStore(t, url)}
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				s := stores[i%2]
				for range 10 {
					if err := s.Append(t.Context(), Entry{Kind: KindReport, Text: fmt.Sprint(i)}); err != nil {
						t.Error(err)
					}
				}
				p := testProposal(NewID(), remedy.Safe)
				if err := s.Propose(t.Context(), p); err != nil {
					t.Error(err)
				}
				if _, err := s.ExpireDue(t.Context(), start.Add(2*time.Hour)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n, err := stores[0].Verify(t.Context()); n != 96 || err != nil {
			t.Errorf("Verify = %d, %v", n, err)
		}
	}
	t.Run(SQLite, func(t *testing.T) { run(t, "sqlite:"+filepath.Join(t.TempDir(), "test.db")) })
	t.Run(Postgres, func(t *testing.T) { run(t, postgresURL(t)) })
}
