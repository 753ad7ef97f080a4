package pool

import "testing"

func TestAcquireGivesAnEmptyBufferWithRoom(t *testing.T) {
	for _, n := range []int{0, 1, smallBytes, smallBytes + 1, largeBytes, 10 * largeBytes} {
		b := Acquire(n)
		if len(b.B) != 0 {
			t.Errorf("Acquire(%d) came with %d bytes in it", n, len(b.B))
		}
		if cap(b.B) > largeBytes {
			t.Errorf("Acquire(%d) reserved %d bytes for a length that was only declared", n, cap(b.B))
		}
		b.Release()
	}
}

func TestReleaseKeepsOnlyUsefulSizes(t *testing.T) {
	for _, c := range []struct {
		size int
		kept bool
	}{{0, false}, {minBytes - 1, false}, {minBytes, true}, {smallBytes, true}, {largeBytes, true}, {largeBytes + 1, false}} {
		b := Wrap(make([]byte, 0, c.size))
		b.Release()
		// Only this test holds b, so looking after the loan is safe here.
		if kept := b.B != nil; kept != c.kept {
			t.Errorf("a slice of %d bytes: kept %v, want %v", c.size, kept, c.kept)
		}
	}
}

func TestWrapAdoptsTheSlice(t *testing.T) {
	s := []byte("reply")
	b := Wrap(s)
	if &b.B[0] != &s[0] {
		t.Error("Wrap copied the slice")
	}
	b.Release()
	var none *Buffer
	none.Release()
}
