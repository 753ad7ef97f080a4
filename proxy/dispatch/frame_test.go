package dispatch

import (
	"sync"
	"testing"

	"sluice/pool"
)

func TestFrame(t *testing.T) {
	f := NewFrame(pool.Wrap([]byte("shared")))
	var wg sync.WaitGroup
	for range 8 {
		f.Retain()
		wg.Go(func() {
			if string(f.Bytes()) != "shared" || f.Len() != 6 {
				t.Errorf("%q", f.Bytes())
			}
			f.Release()
		})
	}
	f.Release()
	wg.Wait()
	if n := f.holders.Load(); n != 0 {
		t.Errorf("%d holders", n)
	}
}

func TestFrameMisuse(t *testing.T) {
	for name, misuse := range map[string]func(f *Frame){
		"released twice":       (*Frame).Release,
		"retained when nobody": (*Frame).Retain,
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			misuse(new(Frame))
		}()
	}
}
