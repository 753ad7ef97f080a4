package iam

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/bus"
	"sluice/codec"
)

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

func (b *flakyBus) messages() []bus.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sent
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

// stuckStore has methods that wait for other processes, until gate is closed.
type stuckStore struct {
	*Memory
	gate chan struct{}
}

func (s stuckStore) UpdateUser(ctx context.Context, id string, c UserChange) (User, error) {
	<-s.gate
	return s.Memory.UpdateUser(ctx, id, c)
}

func (s stuckStore) DisableUser(ctx context.Context, id string) error {
	<-s.gate
	return s.Memory.DisableUser(ctx, id)
}

func (s stuckStore) DeleteUser(ctx context.Context, id string) error {
	<-s.gate
	return s.Memory.DeleteUser(ctx, id)
}

func (s stuckStore) CreateWorkspace(ctx context.Context, w Workspace) error {
	<-s.gate
	return s.Memory.CreateWorkspace(ctx, w)
}

func (s stuckStore) UpdateWorkspace(ctx context.Context, id string, c WorkspaceChange) (Workspace, error) {
	<-s.gate
	return s.Memory.UpdateWorkspace(ctx, id, c)
}

func (s stuckStore) DisableWorkspace(ctx context.Context, id string) error {
	<-s.gate
	return s.Memory.DisableWorkspace(ctx, id)
}

// TestLookupsPassChanges: while every change waits for a process that has died,
// keys are looked up, and changes beyond the lane's room are refused.
func TestLookupsPassChanges(t *testing.T) {
	for _, change := range []string{
		`"update-user","workspace":"default","user_id":"%s","user":{"name":"n"}`,
		`"enable-user","workspace":"default","user_id":"%s"`,
		`"disable-user","workspace":"default","user_id":"%s"`,
		`"delete-user","workspace":"default","user_id":"%s"`,
		`"create-workspace","workspace_record":{"id":"w%s"}`,
		`"update-workspace","workspace_record":{"id":"default","name":"%s"}`,
		`"disable-workspace","workspace_record":{"id":"default","name":"%s"}`,
	} {
		name, _, _ := strings.Cut(change, ",")
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, admin := seeded(t)
				gate := make(chan struct{})
				w.Service.store = stuckStore{w.store, gate}
				b := &flakyBus{}
				w.attach(b)
				deliver := func(id, body string) {
					w.receive(&bus.Delivery{ID: id, Body: []byte(body), Settle: func(*bus.Delivery, bool) {}})
				}
				arrived := make(chan struct{})
				go func() {
					defer close(arrived)
					for i := range maxQuick + maxSettling {
						deliver(fmt.Sprint(i), `{"operation":`+fmt.Sprintf(change, admin.UserID)+`}`)
					}
					deliver("key", `{"operation":"resolve-api-key","api_key":"`+admin.APIKey+`"}`)
				}()
				synctest.Wait()
				busy, resolved := 0, 0
				for _, m := range b.messages() {
					busy += strings.Count(string(m.Body), errSettling.Message)
					resolved += strings.Count(string(m.Body), `"resolved_user_id":"`+admin.UserID+`"`)
				}
				if busy != maxQuick || resolved != 1 {
					t.Errorf("%d refused, %d keys looked up", busy, resolved)
				}
				close(gate)
				<-arrived
				w.running.Wait()
				if n := len(b.messages()); n != maxQuick+maxSettling+1 {
					t.Errorf("%d replies", n)
				}
			})
		})
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
