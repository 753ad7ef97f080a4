package dispatch

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestStreamTimesOut(t *testing.T) {
	for name, c := range map[string]struct {
		call      Call
		pace      time.Duration // between parts; 0 means none comes
		least     time.Duration
		refreshes int
	}{
		"silence":          {call: Call{PartTimeout: 10 * time.Second}, least: 10 * time.Second, refreshes: 1},
		"total":            {call: Call{Timeout: 3 * time.Second}, least: 3 * time.Second, refreshes: 1},
		"parts go on":      {call: Call{PartTimeout: 10 * time.Second, Timeout: time.Minute}, pace: 9 * time.Second, least: time.Minute},
		"parts come later": {call: Call{PartTimeout: 10 * time.Second, Timeout: time.Hour}, pace: 11 * time.Second, least: 10 * time.Second, refreshes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, p := newFakeBus(), NewPending(0)
				table := New(b, p, Config{})
				table.StartFlow("acme", "main", record("main"))
				r, start := newRecorder(t), time.Now()
				if _, err := table.Stream(completion, ask(t, "x"), c.call, r); err != nil {
					t.Fatal(err)
				}
				for c.pace > 0 && p.Waiting() > 0 {
					time.Sleep(c.pace)
					p.Deliver(b.messages()[0].ID, buffer(part("word", false)))
				}
				_, err := r.wait()
				synctest.Wait()
				took := time.Since(start)
				if c.pace == 0 && took > c.least+deadlineTick {
					t.Errorf("took %v", took)
				}
				if !errors.Is(err, ErrTimeout) || took < c.least {
					t.Errorf("%v after %v", err, took)
				}
				if n := len(b.refreshes()); n != c.refreshes {
					t.Errorf("%d refreshes, want %d", n, c.refreshes)
				}
				if n := p.Waiting(); n != 0 {
					t.Errorf("%d slots in use", n)
				}
				closeTable(t, table)
			})
		})
	}
}

// TestDeadlinesRest: nobody looks at the slots while nothing is streamed, and
// somebody does again afterwards.
func TestDeadlinesRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := New(newFakeBus(), NewPending(0), Config{})
		table.StartFlow("acme", "main", record("main"))
		for range 3 {
			r := newRecorder(t)
			if _, err := table.Stream(completion, ask(t, "x"), Call{PartTimeout: time.Second}, r); err != nil {
				t.Fatal(err)
			}
			if _, err := r.wait(); !errors.Is(err, ErrTimeout) {
				t.Errorf("err = %v", err)
			}
			time.Sleep(time.Hour)
		}
		closeTable(t, table)
	})
}
