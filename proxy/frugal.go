package proxy

import (
	"runtime/debug"
	"sync"
)

// bulkGCPercent is GOGC while bulk is moved. The library of the bus makes garbage of
// several times a message's size; with the usual pace, which lets the heap double
// while it is collected, a single document of a gigabyte could take a hundred
// megabytes along, and a tenth of that with this one.
const bulkGCPercent = 25

// frugal makes the collector work harder while somebody moves bulk. The pace is
// the process's, so there is one of it.
type frugal struct {
	mu    sync.Mutex
	users int // guarded by mu
	usual int // guarded by mu: GOGC before the first of them
}

var frugality frugal

// enter begins a transfer; leave must follow.
func (f *frugal) enter() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.users++; f.users > 1 {
		return
	}
	f.usual = debug.SetGCPercent(bulkGCPercent)
	if f.usual < bulkGCPercent { // off, or lower still: whoever set it knows why
		debug.SetGCPercent(f.usual)
	}
}

func (f *frugal) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.users--; f.users == 0 {
		debug.SetGCPercent(f.usual)
	}
}
