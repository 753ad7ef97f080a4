package flows

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/bus/memory"
)

func twoWorkspaces(t *testing.T, s *scene) {
	s.store.put("default", "a", record("a"))
	s.store.put("acme", "b", record("b"))
}

func TestReceiverFetchesEverythingAtStart(t *testing.T) {
	play(t, twoWorkspaces, func(t *testing.T, s *scene) {
		if !errors.Is(s.r.Ready(), ErrNotFetched) {
			t.Error("ready before anything was fetched")
		}
		s.expect(t, "acme/b", "default/a")
		if err := s.r.Ready(); err != nil {
			t.Error(err)
		}
	})
}

func TestReceiverFetchesDefaultEvenWhenNotListed(t *testing.T) {
	play(t, nil, func(t *testing.T, s *scene) {
		s.expect(t)
		if got := s.store.asks("default"); got != 1 {
			t.Errorf("default was fetched %d times", got)
		}
		if err := s.r.Ready(); err != nil {
			t.Error(err)
		}
	})
}

// G33: what changes while the first fetch runs is announced to a queue that is
// bound already.
func TestReceiverBindsNotifyBeforeFirstFetch(t *testing.T) {
	script := func(t *testing.T, s *scene) {
		twoWorkspaces(t, s)
		s.store.latency = time.Second
		s.store.before = func(string, string) {
			if s.bus.subs.Load() == 0 {
				t.Error("fetching before notifications are bound")
			}
		}
	}
	play(t, script, func(t *testing.T, s *scene) {
		time.Sleep(1500 * time.Millisecond) // the workspaces are being fetched
		s.store.edit(func(st *store) { st.before = nil })
		s.store.put("acme", "c", record("c"))
		s.store.announce(t, `{"flow":["acme"]}`)
		time.Sleep(5 * time.Second)
		s.expect(t, "acme/b", "acme/c", "default/a")
	})
}

// G33: acme was fetched at version 2 and default at version 4, so a notification
// with version 3 is news to acme.
func TestReceiverKeepsVersionsPerWorkspace(t *testing.T) {
	play(t, twoWorkspaces, func(t *testing.T, s *scene) {
		s.settled()
		s.store.put("acme", "c", record("c")) // version 3, its notification is slow
		s.store.put("default", "d", record("d"))
		s.store.publish(t, `{"version":4,"changes":{"flow":["default"]}}`)
		time.Sleep(time.Second)
		s.expect(t, "acme/b", "default/a", "default/d")
		before := s.store.asks("")
		s.store.publish(t, `{"version":4,"changes":{"flow":["acme"]}}`)
		s.expect(t, "acme/b", "acme/c", "default/a", "default/d")
		if got := s.store.asks(""); got != before {
			t.Error("a full fetch for one workspace's change")
		}
	})
}

// G28: a new definition of a running flow reaches the table.
func TestReceiverStartsRedefinedFlowAgain(t *testing.T) {
	play(t, twoWorkspaces, func(t *testing.T, s *scene) {
		s.settled()
		s.store.put("acme", "b", record("other"))
		s.store.announce(t, `{"flow":["acme"]}`)
		s.expect(t, "acme/b", "default/a")
		if got := s.table.topic("acme/b", "text-completion"); got != "request:tg:other" {
			t.Errorf("the flow still uses %q", got)
		}
		if slices.Contains(s.table.history(), "stop acme/b") {
			t.Error("the flow was stopped")
		}
	})
}

func TestReceiverLeavesUnchangedFlowsAlone(t *testing.T) {
	play(t, twoWorkspaces, func(t *testing.T, s *scene) {
		s.settled()
		// Only what people read has changed.
		s.store.put("acme", "b", strings.Replace(record("b"), `"x"`, `"y"`, 1))
		s.store.announce(t, `{"flow":["acme"]}`)
		s.settled()
		starts := 0
		for _, l := range s.table.history() {
			if l == "start acme/b" {
				starts++
			}
		}
		if starts != 1 {
			t.Errorf("started %d times", starts)
		}
	})
}

// G29's first half: flows that have left the configuration are stopped.
func TestReceiverStopsDeletedFlow(t *testing.T) {
	play(t, twoWorkspaces, func(t *testing.T, s *scene) {
		s.settled()
		s.store.put("acme", "b", "")
		s.store.announce(t, `{"flow":["acme"]}`)
		s.expect(t, "default/a")
	})
}

// G30.
func TestReceiverResyncsAfterEmptyChanges(t *testing.T) {
	for name, changes := range map[string]string{"empty": `{}`, "null": `null`} {
		t.Run(name, func(t *testing.T) {
			play(t, twoWorkspaces, func(t *testing.T, s *scene) {
				time.Sleep(resyncGap)
				s.store.put("acme", "c", record("c"))
				s.store.announce(t, changes)
				s.expect(t, "acme/b", "acme/c", "default/a")
			})
		})
	}
}

// G30: writes to reserved workspaces look like "anything may have changed", and
// there may be many.
func TestReceiverLimitsResyncs(t *testing.T) {
	play(t, twoWorkspaces, func(t *testing.T, s *scene) {
		s.settled()
		for range 100 {
			s.store.put("_system", "x", "")
			s.store.announce(t, `{}`)
			time.Sleep(10 * time.Millisecond)
		}
		if got := s.store.asks(""); got != 1 {
			t.Errorf("%d full fetches within %v, want the first one only", got, resyncGap)
		}
		s.store.put("acme", "c", record("c")) // nobody says so
		time.Sleep(resyncGap)
		s.expect(t, "acme/b", "acme/c", "default/a")
		if got := s.store.asks(""); got != 2 {
			t.Errorf("%d full fetches, want 2", got)
		}
	})
}

// G31: a fetch that failed is not the end of the news.
func TestReceiverRetriesFailedFetch(t *testing.T) {
	play(t, twoWorkspaces, func(t *testing.T, s *scene) {
		s.settled()
		s.store.edit(func(st *store) { st.broken["acme"] = true })
		s.store.put("acme", "c", record("c"))
		s.store.announce(t, `{"flow":["acme"]}`)
		time.Sleep(10 * time.Second)
		s.expect(t, "acme/b", "default/a") // an error is no empty configuration
		s.store.edit(func(st *store) { delete(st.broken, "acme") })
		time.Sleep(retryMax)
		s.expect(t, "acme/b", "acme/c", "default/a")
		if got := s.table.refreshes("acme"); got != 1 {
			t.Errorf("refreshed %d times, want once, after the fetch that worked", got)
		}
	})
}

func TestReceiverBacksOff(t *testing.T) {
	script := func(t *testing.T, s *scene) {
		twoWorkspaces(t, s)
		s.store.broken["acme"] = true
	}
	play(t, script, func(t *testing.T, s *scene) {
		time.Sleep(2 * time.Minute)
		// 0.5, 1, 2, 4, 8, 16, 30, 30, ... seconds, half of it chance.
		if got := s.store.asks("acme"); got < 8 || got > 20 {
			t.Errorf("asked %d times in two minutes", got)
		}
		if got := s.store.asks("default"); got != 1 {
			t.Errorf("the workspace that works was asked %d times", got)
		}
	})
}

// G32: a broken workspace or record keeps neither the others nor readiness away.
func TestReceiverIsolatesBrokenWorkspaceAtStart(t *testing.T) {
	script := func(t *testing.T, s *scene) {
		for i := range 10 {
			s.store.put(fmt.Sprintf("w%d", i), "f", record("x"))
			s.store.broken[fmt.Sprintf("w%d", i)] = i < 8
		}
	}
	play(t, script, func(t *testing.T, s *scene) {
		s.expect(t, "w8/f", "w9/f")
		if err := s.r.Ready(); err != nil {
			t.Error(err)
		}
	})
}

// G31, G32: one record that cannot be read costs nothing but itself.
func TestReceiverIsolatesBadRecords(t *testing.T) {
	script := func(t *testing.T, s *scene) {
		for i, bad := range []string{`{`, `[]`, `"text"`, `{"interfaces": 5}`, `{"interfaces": {"x": "y"}}`, "\xff"} {
			s.store.put("acme", fmt.Sprintf("bad%d", i), bad)
		}
		s.store.put("acme", "good", record("x"))
		s.store.put("zeta", "good", record("x"))
	}
	play(t, script, func(t *testing.T, s *scene) {
		s.expect(t, "acme/good", "zeta/good")
		if err := s.r.Ready(); err != nil {
			t.Error(err)
		}
	})
}

func TestReceiverKeepsRunningFlowWhoseRecordBreaks(t *testing.T) {
	play(t, twoWorkspaces, func(t *testing.T, s *scene) {
		s.settled()
		s.store.put("acme", "b", `{"interfaces": [}`)
		s.store.announce(t, `{"flow":["acme"]}`)
		s.expect(t, "acme/b", "default/a")
		time.Sleep(time.Second)
		s.store.put("acme", "b", record("mended"))
		s.store.announce(t, `{"flow":["acme"]}`)
		s.expect(t, "acme/b", "default/a")
		if got := s.table.topic("acme/b", "text-completion"); got != "request:tg:mended" {
			t.Errorf("the flow uses %q", got)
		}
	})
}

// G34.
func TestReceiverResyncsAfterReconnect(t *testing.T) {
	f := func(name string, interrupt func(s *scene)) {
		t.Run(name, func(t *testing.T) {
			play(t, twoWorkspaces, func(t *testing.T, s *scene) {
				time.Sleep(time.Minute)
				s.store.put("acme", "c", record("c")) // nobody hears of it
				interrupt(s)
				time.Sleep(time.Second)
				s.expect(t, "acme/b", "acme/c", "default/a")
			})
		})
	}
	f("down for a while", func(s *scene) {
		s.bus.down.Store(true)
		time.Sleep(time.Second)
		s.bus.down.Store(false)
	})
	f("too short to see", func(s *scene) { s.bus.Bus.(*memory.Bus).Interrupt() })
}

// G34's other half: what nobody announced is found out within minutes.
func TestReceiverResyncsPeriodically(t *testing.T) {
	play(t, twoWorkspaces, func(t *testing.T, s *scene) {
		s.settled()
		s.store.put("acme", "c", record("c"))
		time.Sleep(resyncPeriod / 2)
		s.expect(t, "acme/b", "default/a")
		time.Sleep(resyncPeriod)
		s.expect(t, "acme/b", "acme/c", "default/a")
	})
}

// G35.
func TestReceiverResyncsAfterVersionDecrease(t *testing.T) {
	begin := func(t *testing.T, s *scene) {
		twoWorkspaces(t, s)
		s.store.version = 42
	}
	anew := func(s *scene) {
		s.store.edit(func(st *store) {
			st.version = 0
			st.flows = map[string]map[string]string{"default": {"z": record("z")}}
		})
	}
	t.Run("seen in a notification", func(t *testing.T) {
		play(t, begin, func(t *testing.T, s *scene) {
			s.settled()
			s.store.announce(t, `{"prompt":["acme"]}`)
			time.Sleep(time.Minute)
			anew(s)
			s.store.announce(t, `{"prompt":["default"]}`)
			time.Sleep(time.Second)
			s.expect(t, "default/z")
		})
	})
	t.Run("seen in a reply", func(t *testing.T) {
		play(t, begin, func(t *testing.T, s *scene) {
			time.Sleep(time.Minute)
			anew(s)
			s.store.announce(t, `{"flow":["default"]}`)
			time.Sleep(time.Second)
			s.expect(t, "default/z")
		})
	})
}

// G36.
func TestReceiverTreatsStoppingAsStopped(t *testing.T) {
	script := func(t *testing.T, s *scene) {
		twoWorkspaces(t, s)
		s.store.put("acme", "dying", `{"status":"stopping","interfaces":{}}`)
	}
	play(t, script, func(t *testing.T, s *scene) {
		s.expect(t, "acme/b", "default/a")
		s.store.put("acme", "b", strings.Replace(record("b"), `{`, `{"status":"stopping",`, 1))
		s.store.announce(t, `{"flow":["acme"]}`)
		time.Sleep(time.Second)
		s.expect(t, "default/a")
		// The same id again, as a restart does it.
		s.store.put("acme", "b", record("b"))
		s.store.announce(t, `{"flow":["acme"]}`)
		time.Sleep(time.Second)
		s.expect(t, "acme/b", "default/a")
	})
}

// An exchange may have been deleted and made again between two fetches that see
// the same record.
func TestReceiverRefreshesNamedWorkspace(t *testing.T) {
	play(t, twoWorkspaces, func(t *testing.T, s *scene) {
		s.settled()
		s.store.announce(t, `{"flow":["acme"],"prompt":["default"]}`)
		s.settled()
		if got := s.table.history(); got[len(got)-1] != "refresh acme" {
			t.Errorf("history is %v", got)
		}
		if n := s.table.refreshes("default"); n != 0 {
			t.Errorf("the other workspace was refreshed %d times", n)
		}
	})
}

func TestReceiverCoalescesBursts(t *testing.T) {
	script := func(t *testing.T, s *scene) {
		twoWorkspaces(t, s)
		s.store.latency = 10 * time.Millisecond
	}
	play(t, script, func(t *testing.T, s *scene) {
		time.Sleep(time.Second)
		before := s.store.asks("acme")
		for i := range 200 {
			s.store.put("acme", fmt.Sprintf("f%d", i), record("x"))
			s.store.announce(t, `{"flow":["acme"]}`)
		}
		time.Sleep(time.Second)
		if got := s.store.asks("acme") - before; got > 2 {
			t.Errorf("%d fetches for one burst, want at most 2", got)
		}
		if got := len(s.table.running()); got != 202 {
			t.Errorf("%d flows running, want 202", got)
		}
	})
}

func TestReceiverBoundsFetches(t *testing.T) {
	script := func(t *testing.T, s *scene) {
		for i := range 40 {
			s.store.put(fmt.Sprintf("w%02d", i), "f", record("x"))
		}
		s.store.latency = time.Second
	}
	play(t, script, func(t *testing.T, s *scene) {
		time.Sleep(20 * time.Second)
		if got := len(s.table.running()); got != 40 {
			t.Errorf("%d flows running", got)
		}
		s.store.edit(func(st *store) {
			if st.busiest != maxFetches {
				t.Errorf("%d requests at a time, want %d", st.busiest, maxFetches)
			}
		})
	})
}

// One workspace that answers late does not delay the others' news.
func TestReceiverServesOthersWhileOneIsSlow(t *testing.T) {
	script := func(t *testing.T, s *scene) {
		twoWorkspaces(t, s)
		s.store.before = func(_, ws string) {
			if ws == "acme" {
				time.Sleep(fetchTimeout)
			}
		}
	}
	play(t, script, func(t *testing.T, s *scene) {
		s.expect(t, "default/a")
		s.store.put("default", "c", record("c"))
		s.store.announce(t, `{"flow":["default"]}`)
		time.Sleep(time.Second)
		s.expect(t, "default/a", "default/c")
	})
}

func TestReceiverForgetsVanishedWorkspaces(t *testing.T) {
	play(t, twoWorkspaces, func(t *testing.T, s *scene) {
		time.Sleep(time.Minute)
		s.store.put("acme", "b", "")
		s.store.announce(t, `{}`)
		s.settled()
		s.expect(t, "default/a")
		if got := s.store.asks("acme"); got != 1 {
			t.Errorf("asked %d times about a workspace that the list does not have", got)
		}
		s.store.put("acme", "b", record("b"))
		s.store.announce(t, `{"flow":["acme"]}`)
		time.Sleep(time.Second)
		s.expect(t, "acme/b", "default/a")
	})
}

// A workspace that is newer than a list must not suffer from being absent in it.
func TestReceiverKeepsWorkspaceThatIsNewerThanTheList(t *testing.T) {
	play(t, twoWorkspaces, func(t *testing.T, s *scene) {
		time.Sleep(time.Minute)
		s.store.edit(func(st *store) { st.listLate = 3 * time.Second })
		s.store.announce(t, `{}`) // the list is on its way
		time.Sleep(time.Second)
		s.store.put("beta", "n", record("n"))
		s.store.announce(t, `{"flow":["beta"]}`)
		time.Sleep(time.Second)
		s.expect(t, "acme/b", "beta/n", "default/a")
		time.Sleep(5 * time.Second)
		s.expect(t, "acme/b", "beta/n", "default/a")
	})
}

// Whatever comes back instead of an answer, running flows stay.
func TestReceiverNeverTakesGarbageForAnEmptyConfiguration(t *testing.T) {
	for _, garbage := range []string{``, `null`, `[]`, `5`, `"x"`, `{`, `{}`, `{"version":9}`, `{"error":{}}`, "\xff\xfe",
		`{"version":"x","config":{}}`, `{"version":9,"config":[],"values":{}}`, `{"config":{},"values":[],"error":"no"}`} {
		t.Run(garbage, func(t *testing.T) {
			play(t, twoWorkspaces, func(t *testing.T, s *scene) {
				time.Sleep(time.Minute)
				s.store.edit(func(st *store) { st.garbage = []byte(garbage) })
				s.store.announce(t, `{"flow":["acme","default"]}`)
				s.store.announce(t, `{}`)
				time.Sleep(time.Minute)
				s.expect(t, "acme/b", "default/a")
				s.store.edit(func(st *store) { st.garbage = nil })
				s.store.put("acme", "c", record("c"))
				time.Sleep(retryMax)
				s.expect(t, "acme/b", "acme/c", "default/a")
			})
		})
	}
}

// A notification that cannot be read may have meant anything.
func TestReceiverResyncsAfterGarbledNotification(t *testing.T) {
	for _, body := range []string{``, `{`, `[]`, `null`, `{"version":"x"}`, `{"changes":5}`, "\xff"} {
		t.Run(body, func(t *testing.T) {
			play(t, twoWorkspaces, func(t *testing.T, s *scene) {
				time.Sleep(time.Minute)
				s.store.put("acme", "c", record("c"))
				s.store.publish(t, body)
				s.expect(t, "acme/b", "acme/c", "default/a")
			})
		})
	}
}

func TestReceiverWaitsForTheBusAtStart(t *testing.T) {
	script := func(t *testing.T, s *scene) {
		twoWorkspaces(t, s)
		s.bus.down.Store(true)
	}
	play(t, script, func(t *testing.T, s *scene) {
		time.Sleep(time.Minute)
		if s.r.Ready() == nil {
			t.Error("ready without a bus")
		}
		s.bus.down.Store(false)
		time.Sleep(2 * time.Second)
		s.expect(t, "acme/b", "default/a")
		if err := s.r.Ready(); err != nil {
			t.Error(err)
		}
	})
}

func TestReceiverCloseIsBounded(t *testing.T) {
	script := func(t *testing.T, s *scene) { s.store.latency = fetchTimeout }
	play(t, script, func(t *testing.T, s *scene) {
		s.settled()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.r.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close returned %v while a request is under way", err)
		}
	})
	play(t, func(t *testing.T, s *scene) { s.bus.down.Store(true) }, func(t *testing.T, s *scene) {
		time.Sleep(time.Second) // nothing is bound yet
	})
}

func TestNewReceiverRefusesTopicspaceThatIsTooLong(t *testing.T) {
	if _, err := NewReceiver(ReceiverConfig{Topicspace: strings.Repeat("x", 300)}); err == nil {
		t.Error("no error")
	}
}
