package kube

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hopwise/hopwise/internal/world"
)

// fail answers with err as a Status object.
func (s *Server) fail(w http.ResponseWriter, err error) {
	st := statusOf(err)
	if st.Details != nil && st.Details.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(st.Details.RetryAfterSeconds)))
	}
	writeJSON(w, int(st.Code), st)
}

// statusOf makes a Status of any error: one that is none already is the
// server's own fault.
func statusOf(err error) metav1.Status {
	var known apierrors.APIStatus
	if !errors.As(err, &known) {
		known = apierrors.NewInternalError(err)
	}
	st := known.Status()
	st.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	return st
}

// worldError translates an error of the world on the object of c.
func (c *call) worldError(err error) error {
	switch {
	case errors.Is(err, world.ErrNotFound):
		return apierrors.NewNotFound(c.res.groupResource(), c.name)
	case errors.Is(err, world.ErrExists):
		return apierrors.NewAlreadyExists(c.res.groupResource(), c.name)
	case errors.Is(err, world.ErrConflict):
		return apierrors.NewConflict(c.res.groupResource(), c.name, err)
	}
	return err
}

// notServed is the answer to a path that leads nowhere.
func notServed() error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound,
		Message: "the server could not find the requested resource", Details: &metav1.StatusDetails{},
	}}
}

// statusError is an error with a code that apierrors has no maker for.
func statusError(code int, reason metav1.StatusReason, message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: int32(code), Reason: reason, Message: message,
	}}
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		code, b = http.StatusInternalServerError, []byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","code":500,"message":"the answer does not marshal"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	w.Write(append(b, '\n')) // an error here means that the client has gone
}
