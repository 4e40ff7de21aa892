package world

// Fault returns the fault of a permission in the scenario that the world is
// now; unlike FaultOf it may be called while Become changes the world.
func (w *World) Fault(permission string) (Fault, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.FaultOf(permission)
}

// Log returns what was written under "namespace/pod" or
// "namespace/pod/container".
func (w *World) Log(id string) (text string, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text, ok = w.Truth.Logs[id]
	return text, ok
}
