package iam

// recentSize is how many ids are remembered: several times what can be
// delivered and not yet acked.
const recentSize = 2048

// recentIDs remembers the ids of the latest requests, so that one that the
// broker delivers again after a lost ack is not carried out again. It belongs
// to the goroutine that takes deliveries.
type recentIDs struct {
	known map[string]struct{}
	ring  [recentSize]string
	next  int
}

func newRecentIDs() *recentIDs {
	return &recentIDs{known: make(map[string]struct{}, recentSize)}
}

// add remembers id in place of the oldest one and reports whether it was known.
func (r *recentIDs) add(id string) bool {
	if _, ok := r.known[id]; ok {
		return true
	}
	delete(r.known, r.ring[r.next])
	r.ring[r.next] = id
	r.known[id] = struct{}{}
	r.next = (r.next + 1) % recentSize
	return false
}
