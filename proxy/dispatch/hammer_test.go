package dispatch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/bus"
	"sluice/codec"
)

// TestHammer calls the services of flows that others stop, start and redefine,
// over a bus that is interrupted, with services that answer garbage, twice, late,
// for somebody else or never. Every call must end, with its own answer or with
// an error that has a cause, and afterwards everything must work and nothing be
// left over.
func TestHammer(t *testing.T) {
	const flows, callers, calls = 6, 24, 150
	f := newFixture(t, Config{})
	name := func(i int) string { return fmt.Sprint("flow", i) }
	var healthy atomic.Bool
	for i := range flows {
		for _, variant := range []string{"a", "b"} {
			topics := name(i) + variant
			f.table.StartFlow("w", name(i), record(topics))
			f.serve("request:tg:tc:"+topics, "response:tg:tc:"+topics, f.unreliable(&healthy, topics))
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var chaos, work sync.WaitGroup
	for i := range flows {
		chaos.Go(func() {
			for ctx.Err() == nil {
				switch rand.IntN(3) {
				case 0:
					f.table.StopFlow("w", name(i))
				case 1:
					f.table.Refresh("w")
				}
				f.table.StartFlow("w", name(i), record(name(i)+[]string{"a", "b"}[rand.IntN(2)]))
				time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
			}
		})
	}
	chaos.Go(func() {
		for ctx.Err() == nil {
			f.bus.Interrupt()
			time.Sleep(5 * time.Millisecond)
		}
	})
	var answered atomic.Int32
	for c := range callers {
		work.Go(func() {
			for i := range calls {
				if f.hammerOnce(Key{"w", name(rand.IntN(flows)), codec.TextCompletion}, fmt.Sprint(c, "-", i)) {
					answered.Add(1)
				}
			}
		})
	}
	work.Wait()
	stop()
	chaos.Wait()
	if n := f.pending.Waiting(); n != 0 {
		t.Errorf("%d slots in use", n)
	}
	if answered.Load() == 0 {
		t.Error("no call was answered")
	}
	healthy.Store(true)
	for i := range flows {
		f.table.StartFlow("w", name(i), record(name(i)+"a"))
		waitUntil(t, name(i)+" works", func() bool {
			return f.hammerOnce(Key{"w", name(i), codec.TextCompletion}, "after")
		})
	}
	f.table.services.Range(func(k Key, s *service) bool {
		if n := s.users.Load(); n != 0 {
			t.Errorf("%v has %d users", k, n)
		}
		return true
	})
}

// hammerOnce makes a call and reports whether it was answered.
func (f *fixture) hammerOnce(k Key, prompt string) bool {
	var gone chan struct{}
	if rand.IntN(10) == 0 {
		gone = make(chan struct{})
		go close(gone)
	}
	out, _, err := f.table.Call(k, ask(f, prompt), nil, Call{PartTimeout: 30 * time.Millisecond, Timeout: 60 * time.Millisecond, Gone: gone})
	want := fmt.Sprintf(`{"response":%q,"in_token":0,"out_token":0,"model":"","end_of_stream":true}`, prompt)
	switch {
	case err == nil && string(out) == want:
		return true
	case err == nil:
		f.Errorf("call %s got %s", prompt, out)
	case !isExpected(err):
		f.Errorf("call %s: %v", prompt, err)
	}
	return false
}

func isExpected(err error) bool {
	for _, e := range []error{ErrTimeout, ErrFlowStopped, ErrLost, ErrGone, ErrNoService} {
		if errors.Is(err, e) {
			return true
		}
	}
	var unknown *UnknownFlowError
	var syntax *codec.SyntaxError
	return errors.As(err, &unknown) || errors.As(err, &syntax)
}

// unreliable is a service that does something else each time until it is
// healthy.
func (f *fixture) unreliable(healthy *atomic.Bool, name string) func(string, func(string)) {
	n := 0
	var late []func()
	return func(body string, reply func(string)) {
		n++
		if healthy.Load() {
			n = 0
		}
		switch n % 8 {
		case 1:
			reply("garbage")
		case 2:
			echo(body, reply)
			echo(body, reply)
		case 3:
			late = append(late, func() { echo(body, reply) })
		case 4:
			for _, answer := range late {
				answer()
			}
			late = nil
		case 5:
			for range 3 {
				reply(part("not yet", false))
			}
			echo(body, reply)
		case 6:
			for _, id := range []string{"", "7d444840-9dc0-11d1-b245-5ffdce74fad2", f.pending.prefix + "0000-000000000000"} {
				m := bus.Message{To: topic(f, "response:tg:tc:"+name), ID: id, Body: []byte(part("not yours", true))}
				_, _ = f.bus.Publish(context.Background(), &m)
			}
			echo(body, reply)
		default:
			echo(body, reply)
		}
	}
}
