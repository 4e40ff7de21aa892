package slack

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// A Fault is what goes wrong with a request, instead of an answer. The first
// set field counts: Drop, Hang, Error, Status.
type Fault struct {
	Drop       bool   // the connection breaks without an answer
	Hang       bool   // no answer until the client gives up
	Error      string // "ok": false with this code
	Status     int    // this HTTP status with no JSON, as from a load balancer
	RetryAfter int    // seconds; alone it means 429 ratelimited
	After      bool   // the call is done before: only its answer is lost
}

// Fail makes the next calls of a method go wrong; "link" stands for opening a
// socket and "upload" for an upload. Faults of one method queue up.
func (s *Server) Fail(method string, f Fault, times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range times {
		s.faults[method] = append(s.faults[method], &f)
	}
}

// takeFault takes the lock itself.
func (s *Server) takeFault(method string) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	queue := s.faults[method]
	if len(queue) == 0 {
		return nil
	}
	s.faults[method] = queue[1:]
	return queue[0]
}

// serve answers a request with the fault. Hanging ends with the server too.
func (f *Fault) serve(w http.ResponseWriter, r *http.Request, quit <-chan struct{}) {
	switch {
	case f.Drop:
		panic(http.ErrAbortHandler)
	case f.Hang:
		select {
		case <-r.Context().Done():
		case <-quit:
		}
		panic(http.ErrAbortHandler)
	}
	status, code := f.Status, f.Error
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
		status, code = or(status, http.StatusTooManyRequests), or(code, "ratelimited")
	}
	if code == "" {
		http.Error(w, http.StatusText(status), status)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(or(status, http.StatusOK))
	_ = json.NewEncoder(w).Encode(reply{"ok": false, "error": code}) // the client may be gone
}
