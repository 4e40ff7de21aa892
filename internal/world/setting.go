package world

// Setting returns the scenario that w is in. A server that runs while Become
// may be called has to use it in place of w's own fields.
func (w *World) Setting() Scenario {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Scenario
}
