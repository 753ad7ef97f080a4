package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/bus"
)

const (
	callers   = 64
	ingesters = 16
	// bystanders call another flow than the one that suffers.
	bystanders = 16
	// part is the part time-out of gateways under load: no call may hang longer.
	part = 5 * time.Second
)

// load keeps calls and ingestions in flight and keeps the books: every message
// has a marker of its own, and every marker is in one column in the end.
type load struct {
	g      *gateway
	cancel context.CancelFunc
	wg     sync.WaitGroup
	serial atomic.Int64
	// progress counts the calls that were answered.
	progress atomic.Int64

	mu     sync.Mutex
	calls  ledger
	others ledger // of the bystanders
	sends  ledger
	// served and queued count what reached the services, by marker.
	served, queued map[string]int
}

// ledger is what became of messages, by marker.
type ledger struct {
	sent int
	// good were answered or confirmed, refused reached no queue; of the rest
	// nobody knows.
	good, refused, unknown map[string]bool
	errors                 map[string]int // by text
}

func newLedger() ledger {
	return ledger{good: map[string]bool{}, refused: map[string]bool{}, unknown: map[string]bool{}, errors: map[string]int{}}
}

// startLoad plays the services of the flows "demo" and "other" and starts calling
// them.
func startLoad(t *testing.T, p *platform, g *gateway) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{
		g: g, cancel: cancel, calls: newLedger(), others: newLedger(), sends: newLedger(),
		served: make(map[string]int), queued: make(map[string]int),
	}
	for _, flow := range []string{"demo", "other"} {
		p.serve(t, p.topic("request", "text-completion", flow), p.topic("response", "text-completion", flow), l.answer)
	}
	p.consume(t, p.topic("flow", "text-load", "demo"), l.keep)
	eventually(t, "a call succeeds", func() error { return g.try("first", time.Minute) })
	for range callers {
		l.wg.Go(func() { l.repeat(ctx, func(marker string) { l.call(completionPath, &l.calls, marker) }) })
	}
	for range bystanders {
		path := strings.Replace(completionPath, "demo", "other", 1)
		l.wg.Go(func() { l.repeat(ctx, func(marker string) { l.call(path, &l.others, marker) }) })
	}
	for range ingesters {
		l.wg.Go(func() { l.repeat(ctx, l.send) })
	}
	t.Cleanup(func() {
		cancel()
		l.wg.Wait()
	})
	l.awaitProgress(t)
	return l
}

func (l *load) repeat(ctx context.Context, do func(marker string)) {
	for ctx.Err() == nil {
		do(fmt.Sprintf("m%d", l.serial.Add(1)))
	}
}

// awaitProgress waits until every caller has had the chance of an answer.
func (l *load) awaitProgress(t *testing.T) {
	t.Helper()
	from := l.progress.Load()
	eventually(t, "calls are answered under load", func() error {
		if n := l.progress.Load() - from; n < 4*callers {
			return fmt.Errorf("%d so far", n)
		}
		return nil
	})
}

// answer is the text-completion service.
func (l *load) answer(id string, body []byte) ([]message, bool) {
	marker := prompt(body)
	l.mu.Lock()
	l.served[marker]++
	l.mu.Unlock()
	return one(id, completion(marker, true))
}

// keep is the consumer of text-load. A copy that the broker says it has
// delivered before counts once.
func (l *load) keep(d *bus.Delivery) {
	var doc struct{ Text string }
	_ = json.Unmarshal(d.Body, &doc)
	l.mu.Lock()
	if !d.Redelivered || l.queued[doc.Text] == 0 {
		l.queued[doc.Text]++
	}
	l.mu.Unlock()
	d.Ack()
}

func (l *load) call(path string, book *ledger, marker string) {
	r, err := l.g.post(context.Background(), path, question(marker))
	text, bad := answerOf(r)
	l.mu.Lock()
	defer l.mu.Unlock()
	book.note(marker, r, err, bad == nil)
	if bad == nil && text != marker {
		book.errors[impossible+"the answer to another call: "+text]++
	}
	if bad == nil && book == &l.calls {
		l.progress.Add(1)
	}
}

func (l *load) send(marker string) {
	// The charset makes the codec take the text as it is.
	body := fmt.Appendf(nil, `{"text":%q,"id":%q}`, base64Text(marker), marker)
	r, err := l.g.post(context.Background(), "/api/v1/flow/demo/service/text-load", body)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sends.note(marker, r, err, err == nil && r.status == http.StatusOK && string(r.body) == "{}")
}

// impossible marks errors that nothing can excuse.
const impossible = "impossible: "

func (l *ledger) note(marker string, r reply, err error, good bool) {
	l.sent++
	switch {
	case err != nil: // the gateway answers whatever happens behind it
		l.unknown[marker] = true
		l.errors[impossible+err.Error()]++
		return
	case good:
		l.good[marker] = true
		return
	case r.status == http.StatusServiceUnavailable, strings.Contains(string(r.body), "Invalid flow"),
		strings.Contains(string(r.body), "no service is listening"):
		l.refused[marker] = true
	default:
		l.unknown[marker] = true
	}
	l.errors[r.String()]++
}

// count is how many errors contain a text.
func (l *ledger) count(text string) (n int) {
	for e, k := range l.errors {
		if strings.Contains(e, text) {
			n += k
		}
	}
	return n
}

// finish ends the load: every call must end, and the books must balance.
func (l *load) finish(t *testing.T) {
	t.Helper()
	l.cancel()
	ended := make(chan struct{})
	go func() {
		l.wg.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("calls hang long after their time-out")
	}
	eventually(t, "no call is left over in the gateway", func() error { return l.g.idle(t) })
	eventually(t, "every confirmed message is in the queue", func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		for marker := range l.sends.good {
			if l.queued[marker] == 0 {
				return fmt.Errorf("%s is not", marker)
			}
		}
		return nil
	})
	l.balance(t)
}

// balance compares what was sent, what was answered or confirmed, what the
// services have seen, and what the gateway itself has counted.
func (l *load) balance(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls.balance(t, "calls", l.served)
	l.others.balance(t, "bystanders' calls", l.served)
	l.sends.balance(t, "ingestions", l.queued)
	for _, marker := range slices.Sorted(maps.Keys(l.queued)) {
		if l.queued[marker] > 1 {
			t.Errorf("%s is in the queue %d times: somebody has sent it again", marker, l.queued[marker])
		}
	}
	if n := l.others.count("Timeout"); n > 0 {
		t.Errorf("%d calls of a flow that nobody touched were lost without a word", n)
	}
	if n := int(l.g.metric(t, `sluice_bus_published_total{class="flow"}`)); n != len(l.sends.good) {
		t.Errorf("the gateway counts %d confirmed messages, its clients %d", n, len(l.sends.good))
	}
}

func (l *ledger) balance(t *testing.T, what string, seen map[string]int) {
	t.Helper()
	t.Logf("%s: %d sent, %d good, %d refused, %d unknown; %v", what, l.sent, len(l.good), len(l.refused), len(l.unknown), l.errors)
	if n := len(l.good) + len(l.refused) + len(l.unknown); n != l.sent {
		t.Errorf("%s: %d sent, %d accounted for", what, l.sent, n)
	}
	for marker := range l.good {
		if seen[marker] == 0 {
			t.Errorf("%s: %s was answered and nobody has seen it", what, marker)
		}
	}
	for marker := range l.refused {
		if seen[marker] > 0 {
			t.Errorf("%s: %s was refused as not sent, and was seen", what, marker)
		}
	}
	if n := l.count(impossible); n > 0 {
		t.Errorf("%s: %d ended as none may", what, n)
	}
}
