package facts

import "sync"

// Memo is what f makes of the facts of kind k, made once for a snapshot
// however many checks ask for it under the same name: parsing the same logs
// and metrics again in each check would be most of the work of a report. f
// must be pure, and nobody may change what it returned.
func Memo[T, R any](v *View, k Key[T], name string, f func([]T) R) R {
	list := k.In(v)
	if v.s.memo == nil || len(list) == 0 {
		return f(list)
	}
	// The list itself is a part of the key: a snapshot with other facts of the
	// kind shares the memory of the one that it was made from.
	cell, _ := v.s.memo.LoadOrStore(memoKey{name, &list[0]}, new(memoCell))
	c := cell.(*memoCell)
	c.once.Do(func() { c.val = f(list) })
	r, _ := c.val.(R)
	return r
}

type memoKey struct {
	name  string
	first any // pointer to the first fact of the list
}

type memoCell struct {
	once sync.Once
	val  any // nil if f panicked
}

// Remembering returns s with a memory for Memo. Copies of it share the memory.
func (s *Snapshot) Remembering() *Snapshot {
	if s.memo != nil {
		return s
	}
	out := *s
	out.memo = new(sync.Map)
	return &out
}
