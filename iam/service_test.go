package iam

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/bus"
	"sluice/bus/memory"
	"sluice/codec"
)

// caller is a client of the service on a bus.
type caller struct {
	t       *testing.T
	bus     bus.Bus
	to      bus.Topic
	replies chan caught
}

type caught struct{ id, body string }

// serve starts w on a memory bus and returns a caller on it.
func serve(t *testing.T, w *world) *caller {
	t.Helper()
	b := memory.New(nil)
	t.Cleanup(func() { b.Close(context.Background()) })
	if err := w.Start(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	return newCaller(t, b, w.cfg.TopicSpace)
}

func newCaller(t *testing.T, b bus.Bus, space string) *caller {
	t.Helper()
	to, err := bus.ParseTopic("request:" + space + ":iam")
	if err != nil {
		t.Fatal(err)
	}
	from, err := bus.ParseTopic("response:" + space + ":iam")
	if err != nil {
		t.Fatal(err)
	}
	c := &caller{t: t, bus: b, to: to, replies: make(chan caught, 256)}
	sub, err := b.Subscribe(t.Context(), bus.Consumer{Topic: from, Handler: func(d *bus.Delivery) {
		c.replies <- caught{d.ID, string(d.Body)}
		d.Ack()
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sub.Close(context.Background()) })
	return c
}

func (c *caller) send(id, body string) {
	c.t.Helper()
	if _, err := c.bus.Publish(context.Background(), &bus.Message{To: c.to, ID: id, Body: []byte(body)}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *caller) next() caught {
	c.t.Helper()
	select {
	case got := <-c.replies:
		return got
	case <-time.After(30 * time.Second):
		c.t.Fatal("no reply")
	}
	return caught{}
}

func (c *caller) call(id, body string) codec.IAMReply {
	c.t.Helper()
	c.send(id, body)
	got := c.next()
	if got.id != id {
		c.t.Fatalf("reply for %q, want %q", got.id, id)
	}
	reply, err := codec.ParseIAMReply([]byte(got.body))
	if err != nil {
		c.t.Fatal(err)
	}
	return reply
}

func closeService(t *testing.T, w *world) {
	t.Helper()
	if err := w.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestServeOverBus(t *testing.T) {
	w := newWorld(t, Config{TopicSpace: "dev"})
	c := serve(t, w)
	defer closeService(t, w)
	key := c.call("1", `{"operation":"bootstrap","workspace":"","actor":"","user":null}`).BootstrapAdminAPIKey
	if got := c.call("2", `{"operation":"resolve-api-key","api_key":"`+key+`"}`); got.ResolvedWorkspace != "default" {
		t.Fatalf("reply %+v", got)
	}
	c.send("3", `{"operation":"list-users","workspace":"none"}`)
	const empty = `{"user":null,"users":[],"workspace":null,"workspaces":[],"api_key_plaintext":"","api_key":null,"api_keys":[],"jwt":"","jwt_expires":"","signing_key_public":"","resolved_user_id":"","resolved_workspace":"","resolved_roles":[],"temporary_password":"","bootstrap_admin_user_id":"","bootstrap_admin_api_key":"","error":null}`
	if got := c.next(); got.body != empty {
		t.Errorf("reply %s", got.body)
	}
}

func TestTokenModeSeedsAtStart(t *testing.T) {
	w := newWorld(t, Config{Mode: ModeToken, Token: "tg_0123456789abcdef"})
	c := serve(t, w)
	defer closeService(t, w)
	if got := c.call("1", `{"operation":"resolve-api-key","api_key":"tg_0123456789abcdef"}`); got.ResolvedWorkspace != "default" {
		t.Fatalf("reply %+v", got)
	}

	again, err := New(w.store, Config{Mode: ModeToken, Token: "tg_another_token_xyz", Logger: w.Service.log})
	if err != nil {
		t.Fatal(err)
	}
	b := memory.New(nil)
	defer b.Close(context.Background())
	if err := again.Start(t.Context(), b); err != nil {
		t.Fatalf("second start: %v", err)
	}
	if err := again.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := c.call("2", `{"operation":"resolve-api-key","api_key":"tg_another_token_xyz"}`); got.Error == nil {
		t.Error("a changed token was taken")
	}
}

func TestStartReportsFailures(t *testing.T) {
	w := newWorld(t, Config{Mode: ModeToken, Token: "tg_0123456789abcdef"})
	w.Service.store = failingStore{NewMemory(), errDriver}
	b := memory.New(nil)
	if err := w.Start(t.Context(), b); err == nil || !strings.HasPrefix(err.Error(), "IAM seeding: ") {
		t.Errorf("error %v", err)
	}
	if err := newWorld(t, Config{TopicSpace: strings.Repeat("x", 300)}).Start(t.Context(), b); err == nil {
		t.Error("an impossible topic space was accepted")
	}
	b.Close(context.Background())
	if err := newWorld(t, Config{}).Start(t.Context(), b); err == nil {
		t.Error("started on a closed bus")
	}
}

// TestUnreadableRequests sends what must be dropped without a reply, then what
// must be answered: nothing of the former shows up before it.
func TestUnreadableRequests(t *testing.T) {
	w, _ := seeded(t)
	c := serve(t, w)
	defer closeService(t, w)
	for i, body := range []string{`not JSON`, `{"operation":`, `null`, `[]`, `"x"`, ``, `{"operation":"` + "\xff" + `"}`, `{} {}`} {
		c.send(fmt.Sprint("bad-", i), body)
	}
	reply := c.call("typed", `{"operation":"login","username":5}`)
	if reply.Error == nil || reply.Error.Error() != `invalid-argument: "username" must be a string` {
		t.Errorf("reply %+v", reply.Error)
	}
	for name, id := range map[string]string{"no id": "", "a long id": strings.Repeat("x", 256)} {
		acked := 0
		w.receive(&bus.Delivery{ID: id, Body: []byte(`{"operation":"rotate-signing-key"}`), Settle: func(_ *bus.Delivery, requeue bool) {
			if !requeue {
				acked++
			}
		}})
		if acked != 1 {
			t.Errorf("%s: acked %d times", name, acked)
		}
	}
	w.running.Wait()
	if len(w.store.signing) != 1 {
		t.Error("a request without a usable id was executed")
	}
	if got := c.call("last", `{"operation":"nope"}`); got.Error == nil {
		t.Error("the service stopped answering")
	}
}

func TestRepeatedDeliveryRunsOnce(t *testing.T) {
	w, _ := seeded(t)
	c := serve(t, w)
	defer closeService(t, w)
	deliver := func(redelivered bool) {
		w.receive(&bus.Delivery{ID: "same", Body: []byte(`{"operation":"rotate-signing-key"}`), Redelivered: redelivered, Settle: func(*bus.Delivery, bool) {}})
	}
	deliver(true) // lost before it got here: to be done
	c.next()
	deliver(true)
	w.running.Wait()
	if got := len(w.store.signing); got != 2 {
		t.Errorf("%d signing keys, want 2", got)
	}
	ids := newRecentIDs()
	for i := range recentSize + 1 {
		if ids.add(fmt.Sprint(i)) {
			t.Fatalf("id %d known already", i)
		}
	}
	if ids.add("0") || !ids.add("2") || len(ids.known) != recentSize {
		t.Errorf("%d ids remembered", len(ids.known))
	}
}

// TestLookupsPassLogins is defect D5: with every hashing slot taken and the
// queue for them full, look-ups are answered and the excess is refused.
func TestLookupsPassLogins(t *testing.T) {
	w, admin := seeded(t)
	c := serve(t, w)
	defer closeService(t, w)
	for range cap(w.hash.slots) {
		w.hash.slots <- struct{}{}
	}
	for i := range maxHashing + 1 {
		c.send(fmt.Sprint("login-", i), `{"operation":"login","username":"admin","password":"x"}`)
	}
	if got := c.next(); !strings.Contains(got.body, errBusy.Message) {
		t.Errorf("reply %+v", got)
	}
	for i := range 200 {
		if got := c.call(fmt.Sprint("key-", i), `{"operation":"resolve-api-key","api_key":"`+admin.APIKey+`"}`); got.ResolvedUserID != admin.UserID {
			t.Fatalf("reply %+v", got)
		}
	}
	for range cap(w.hash.slots) {
		<-w.hash.slots
	}
	for range maxHashing {
		if got := c.next(); !strings.Contains(got.body, "bad credentials") {
			t.Fatalf("reply %+v", got)
		}
	}
}

func TestPanicIsAnswered(t *testing.T) {
	w := newWorld(t, Config{})
	w.Service.store = panickingStore{NewMemory()}
	c := serve(t, w)
	defer closeService(t, w)
	for _, id := range []string{"1", "2"} {
		if got := c.call(id, `{"operation":"get-user","workspace":"w","user_id":"u"}`); got.Error == nil || got.Error.Type != "internal-error" {
			t.Fatalf("reply %+v", got)
		}
	}
}

// flakyBus keeps what was published, after failing with errs.
type flakyBus struct {
	bus.Bus
	mu   sync.Mutex
	errs []error
	sent []bus.Message
}

func (b *flakyBus) Publish(_ context.Context, m *bus.Message) (bus.Receipt, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.errs) > 0 {
		err := b.errs[0]
		b.errs = b.errs[1:]
		return bus.Receipt{}, err
	}
	kept := *m
	kept.Body = bytes.Clone(m.Body)
	b.sent = append(b.sent, kept)
	return bus.Receipt{}, nil
}

// attach gives w a bus without subscribing.
func (w *world) attach(b bus.Bus) {
	w.bus = b
	w.life, w.endLife = context.WithCancel(context.Background())
	w.t.Cleanup(w.endLife)
}

// TestReplyIsPublishedAgain is defect D22.
func TestReplyIsPublishedAgain(t *testing.T) {
	reply := &codec.IAMReply{APIKeyPlaintext: "tg_once"}
	for name, tc := range map[string]struct {
		errs []error
		want string
	}{
		"at once":       {nil, "tg_once"},
		"after errors":  {[]error{bus.ErrUnavailable, bus.ErrBusy, bus.ErrUnavailable}, "tg_once"},
		"too large":     {[]error{bus.ErrTooLarge}, `"internal-error"`},
		"closed":        {[]error{bus.ErrClosed}, ""},
		"never":         {slicesRepeat(bus.ErrUnavailable, 100), ""},
		"never fitting": {slicesRepeat(bus.ErrTooLarge, 100), ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Config{})
				b := &flakyBus{errs: tc.errs}
				w.attach(b)
				w.publish("id", reply)
				switch {
				case tc.want == "" && len(b.sent) > 0:
					t.Errorf("sent %+v", b.sent)
				case tc.want != "" && (len(b.sent) != 1 || b.sent[0].ID != "id" || !strings.Contains(string(b.sent[0].Body), tc.want)):
					t.Errorf("sent %+v", b.sent)
				}
				if strings.Contains(w.logged(), "tg_once") {
					t.Error("the log holds the key")
				}
			})
		})
	}
}

func slicesRepeat(err error, n int) []error {
	out := make([]error, n)
	for i := range out {
		out[i] = err
	}
	return out
}

func TestLateRequestIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := seeded(t)
		b := &flakyBus{}
		w.attach(b)
		for range cap(w.hash.slots) {
			w.hash.slots <- struct{}{}
		}
		acked := 0
		w.receive(&bus.Delivery{ID: "x", Body: []byte(`{"operation":"login","username":"admin","password":"x"}`), Settle: func(*bus.Delivery, bool) { acked++ }})
		time.Sleep(requestLife - time.Second)
		synctest.Wait()
		if len(w.slow) != 1 || acked != 1 {
			t.Fatalf("%d waiting, acked %d times", len(w.slow), acked)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(w.slow) != 0 || len(b.sent) != 0 {
			t.Errorf("%d waiting, sent %+v", len(w.slow), b.sent)
		}
	})
}

func TestCloseDropsWhatWaits(t *testing.T) {
	w, admin := seeded(t)
	c := serve(t, w)
	for range cap(w.hash.slots) {
		w.hash.slots <- struct{}{}
	}
	c.send("1", `{"operation":"login","username":"admin","password":"x"}`)
	c.call("2", `{"operation":"resolve-api-key","api_key":"`+admin.APIKey+`"}`)
	ctx, cancel := context.WithCancel(context.Background())
	closed := make(chan error)
	go func() { closed <- w.Close(ctx) }()
	select {
	case err := <-closed:
		t.Fatalf("closed with a request in hand: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	cancel()
	if err := <-closed; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if len(c.replies) != 0 {
		t.Errorf("reply %+v", <-c.replies)
	}
}

// TestFullLaneAtTheEnd checks that a look-up that finds no room while the
// service ends is given back to the broker.
func TestFullLaneAtTheEnd(t *testing.T) {
	w := newWorld(t, Config{})
	w.attach(&flakyBus{})
	for range cap(w.quick) {
		w.quick <- struct{}{}
	}
	w.endLife()
	requeued := false
	w.receive(&bus.Delivery{ID: "x", Body: []byte(`{"operation":"list-workspaces"}`), Settle: func(_ *bus.Delivery, requeue bool) { requeued = requeue }})
	if !requeued {
		t.Error("not requeued")
	}
}

func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		`{"operation":"login","username":"admin","password":"x"}`,
		`{"operation":"create-user","workspace":"default","user":{"username":"u","password":"p","roles":["a"],"enabled":null}}`,
		`{"operation":"create-api-key","workspace":"default","key":{"user_id":"u","name":"n","expires":"2099-W01"}}`,
		`{"operation":"create-workspace","workspace_record":{"id":"w"}}`,
		`{"operation":"revoke-api-key","workspace":"w","key_id":"k"}`,
		`{"operation":"resolve-api-key","api_key":"tg_x"}`,
		`{"operation":null,"user":[]}`, `null`, `{"operation":"x'\"\u0000"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		w := newWorld(t, Config{})
		w.hash.rounds = 1
		b := &flakyBus{}
		w.attach(b)
		settled := 0
		w.receive(&bus.Delivery{ID: "x", Body: body, Settle: func(*bus.Delivery, bool) { settled++ }})
		w.running.Wait()
		if settled != 1 || len(b.sent) > 1 {
			t.Fatalf("settled %d times, sent %d replies", settled, len(b.sent))
		}
		for _, m := range b.sent {
			reply, err := codec.ParseIAMReply(m.Body)
			if err != nil || m.ID != "x" {
				t.Fatalf("reply %s, %v", m.Body, err)
			}
			if reply.Error != nil && reply.Error.Message == errInternal.Message {
				t.Fatalf("internal error:\n%s", w.logged())
			}
		}
	})
}

func BenchmarkResolveAPIKey(b *testing.B) {
	store := NewMemory()
	s, err := New(store, Config{Mode: ModeBootstrap})
	if err != nil {
		b.Fatal(err)
	}
	s.log = discardLogger()
	admin, err := s.Bootstrap(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	body, err := codec.MarshalIAMRequest(&codec.IAMRequest{Operation: "resolve-api-key", APIKey: admin.APIKey})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r, err := codec.ParseIAMRequest(body)
		if err != nil {
			b.Fatal(err)
		}
		reply := s.answer(b.Context(), findOperation(r.Operation), &r)
		if _, err := codec.MarshalIAMReply(reply); err != nil || reply.Error != nil {
			b.Fatal(err, reply.Error)
		}
	}
}
