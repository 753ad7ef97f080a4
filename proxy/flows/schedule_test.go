package flows

import (
	"errors"
	"testing"
	"time"
)

func at(seconds float64) time.Time {
	return time.Unix(1_000_000, 0).Add(time.Duration(seconds * float64(time.Second)))
}

// take runs every job that is due and returns the workspaces asked for.
func drain(s *schedule, now time.Time, answer func(j job) outcome) (asked []string) {
	for {
		j, ok := s.next(now)
		if !ok {
			return asked
		}
		o := answer(j)
		o.job = j
		s.finish(o, now)
		switch {
		case j.ws == nil:
			asked = append(asked, "*")
		case !j.gone:
			asked = append(asked, j.ws.name)
		}
	}
}

func answers(version int64, listed ...string) func(j job) outcome {
	return func(j job) outcome {
		o := outcome{version: version, listed: map[string]struct{}{}}
		for _, ws := range listed {
			o.listed[ws] = struct{}{}
			if j.ws != nil && j.ws.name == ws {
				return o
			}
		}
		o.empty = j.ws != nil
		return o
	}
}

func TestScheduleForgetsEmptyUnlistedWorkspaces(t *testing.T) {
	s := newSchedule(at(0))
	drain(s, at(0), answers(1, "acme"))
	s.notice(notices{last: 2, workspaces: map[string]struct{}{"rumour": {}}}, at(1))
	drain(s, at(1), answers(2, "acme"))
	if s.workspaces["rumour"] != nil {
		t.Error("a workspace without flows that no list names is kept")
	}
	if s.workspaces["acme"] == nil || s.workspaces["default"] == nil {
		t.Error("a workspace that must stay is gone")
	}
	if len(s.due) != 0 {
		t.Errorf("%d jobs are left over", len(s.due))
	}
}

// A reply that was asked for before the store began anew says nothing about the
// new store.
func TestScheduleDistrustsRepliesOfAnEarlierEpoch(t *testing.T) {
	s := newSchedule(at(0))
	drain(s, at(0), answers(42, "acme"))
	s.notice(notices{last: 43, workspaces: map[string]struct{}{"acme": {}}}, at(1))
	slow, ok := s.next(at(1))
	if !ok || slow.ws.name != "acme" {
		t.Fatal("acme is not due")
	}
	s.notice(notices{last: 1, reset: true}, at(2))
	s.finish(outcome{job: slow, version: 43}, at(3))
	if s.seen != 1 {
		t.Errorf("the old store's version %d counts", s.seen)
	}
	asked := drain(s, at(3.2), answers(1, "acme"))
	if len(asked) != 1 || asked[0] != "acme" {
		t.Errorf("asked for %v, want acme once more", asked)
	}
	if asked := drain(s, at(5), answers(1, "acme")); len(asked) != 3 {
		t.Errorf("asked for %v, want everything", asked)
	}
	if s.listDue {
		t.Error("another full fetch is due for the same reset")
	}
}

func TestScheduleRetriesTheListWithBackoff(t *testing.T) {
	s := newSchedule(at(0))
	failed := func(job) outcome { return outcome{err: errors.New("no")} }
	now, tries := at(0), 0
	for now.Before(at(120)) {
		tries += len(drain(s, now, failed))
		next := s.deadline()
		if !next.After(now) {
			t.Fatalf("deadline %v is not after %v", next, now)
		}
		now = next
	}
	if tries < 8 || tries > 20 {
		t.Errorf("%d attempts in two minutes", tries)
	}
	if s.complete() {
		t.Error("complete without a list")
	}
}

func TestBackoffStaysInBounds(t *testing.T) {
	for n := range 100 {
		for range 20 {
			d := backoff(n)
			if d < retryMin/2 || d > retryMax {
				t.Fatalf("pause %v after %d failures", d, n)
			}
		}
	}
}
