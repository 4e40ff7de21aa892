package world

// settle lets the controllers react to what changed, until nothing moves.
func (w *World) settle() {}
