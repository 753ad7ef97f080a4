package proxy

import (
	"math/rand/v2"
	"testing"

	"sluice/pool"
)

// TestImportWindow settles 10,000 messages in random order and compares the
// window with a list of what is unsettled.
func TestImportWindow(t *testing.T) {
	const total = 10_000
	var w importWindow
	under := map[uint64]int{}
	var order []uint64
	var bytes int64
	for entered := uint64(0); entered < total || len(order) > 0; {
		size := rand.IntN(64 << 10)
		fits := entered-lowest(under, entered) < windowMessages && (bytes == 0 || bytes+int64(size) <= windowBytes)
		if w.hasRoom(size) != fits {
			t.Fatalf("room for %d bytes beside %d messages of %d bytes: %v", size, len(under), bytes, !fits)
		}
		if fits && entered < total && rand.IntN(8) > 0 {
			if index := w.enter(size); index != entered {
				t.Fatalf("message %d entered as %d", entered, index)
			}
			under[entered] = size
			order = append(order, entered)
			bytes += int64(size)
			entered++
			continue
		}
		if len(order) == 0 {
			continue
		}
		k := rand.IntN(len(order))
		index := order[k]
		order[k] = order[len(order)-1]
		order = order[:len(order)-1]
		w.settle(index)
		bytes -= int64(under[index])
		delete(under, index)
		w.settle(index) // the second time is ignored
		if got, want := w.base, lowest(under, entered); got != want {
			t.Fatalf("settled up to %d, want %d", got, want)
		}
		if w.bytes != bytes || w.empty() != (len(under) == 0) {
			t.Fatalf("%d bytes on their way, want %d", w.bytes, bytes)
		}
	}
	w.settle(total) // never entered
	if w.base != total || !w.empty() {
		t.Errorf("ended at %d", w.base)
	}
}

func lowest(under map[uint64]int, next uint64) uint64 {
	for i := range under {
		next = min(next, i)
	}
	return next
}

func TestImportWindowTakesOneOfAnySize(t *testing.T) {
	var w importWindow
	if !w.hasRoom(128 << 20) {
		t.Fatal("a large message finds no room in an empty window")
	}
	w.enter(128 << 20)
	if w.hasRoom(1) {
		t.Error("there is room beside a large message")
	}
	if w.settle(0); w.bytes != 0 {
		t.Errorf("%d bytes are left", w.bytes)
	}
}

func TestImportQueueKeepsOrder(t *testing.T) {
	var q importQueue
	next, taken := 0, 0
	for taken < 20_000 {
		for range rand.IntN(3000) {
			body := pool.Acquire(8)
			body.B = append(body.B, byte(next), byte(next>>8))
			q.push(importItem{body: body})
			next++
		}
		for range rand.IntN(3000) {
			if q.len() == 0 {
				break
			}
			item := q.pop()
			if got := int(item.body.B[0]) | int(item.body.B[1])<<8; got != taken&0xffff {
				t.Fatalf("%d came out, want %d", got, taken)
			}
			item.body.Release()
			taken++
		}
		if q.len() != next-taken || q.bytes != int64(q.len())*(2+itemBytes) {
			t.Fatalf("%d items of %d bytes, want %d", q.len(), q.bytes, next-taken)
		}
	}
	for q.len() > 0 {
		item := q.pop()
		item.body.Release()
	}
}
