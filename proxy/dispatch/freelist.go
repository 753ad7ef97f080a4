package dispatch

import "sync/atomic"

// freeList is a lock-free stack of slots. The one freed last comes out first:
// it is warm, and the number of slots ever made stays what was needed at once.
type freeList struct {
	// head is the first slot's index plus one in the low half, zero when there
	// is none, and in the high half a count that changes with every push, so
	// that a head that has been away and come back is not taken for the same.
	head atomic.Uint64
}

func (l *freeList) push(s *slot) {
	for {
		head := l.head.Load()
		s.nextFree.Store(uint32(head))
		next := (head>>32+1)<<32 | uint64(s.index+1)
		if l.head.CompareAndSwap(head, next) {
			return
		}
	}
}

func (l *freeList) pop(p *Pending) *slot {
	for {
		head := l.head.Load()
		if uint32(head) == 0 {
			return nil
		}
		s := p.slots[uint32(head)-1].Load()
		next := head>>32<<32 | uint64(s.nextFree.Load())
		if l.head.CompareAndSwap(head, next) {
			return s
		}
	}
}
