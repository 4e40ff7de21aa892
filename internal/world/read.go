package world

import (
	"time"

	"github.com/hopwise/hopwise/internal/facts"
)

// Fault returns the fault of a permission in the scenario that the world is
// now; unlike FaultOf it may be called while Become changes the world.
func (w *World) Fault(permission string) (Fault, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.FaultOf(permission)
}

// At is the time at which the objects of the world are as they are.
func (w *World) At() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

// Log returns what a container of a pod wrote, each line with its time before
// it, and what its previous instance wrote.
func (w *World) Log(namespace, pod, container string) (text, previous string) {
	d, err := w.Get(facts.PodLogs.Kind(), namespace+"/"+pod+"/"+container)
	if err != nil {
		return "", ""
	}
	text, _ = d["text"].(string)
	previous, _ = d["previous"].(string)
	return text, previous
}

// Metrics returns what a pod tells at its /metrics; "" for a pod that tells
// nothing.
func (w *World) Metrics(namespace, pod string) string {
	d, err := w.Get(facts.PodMetrics.Kind(), namespace+"/"+pod)
	if err != nil {
		return ""
	}
	text, _ := d["text"].(string)
	return text
}
