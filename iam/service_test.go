package iam

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
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
		c.send(fmt.Sprint("login-", i), fmt.Sprintf(`{"operation":"login","username":"user-%d","password":"x"}`, i))
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
		if got := c.next(); !strings.Contains(got.body, "no such user") {
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
