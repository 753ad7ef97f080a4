package iam

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"

	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/codec"
)

func TestMain(m *testing.M) {
	codec.PretouchRecords()
	goleak.VerifyTestMain(m)

}

// testRounds keeps hashes of tests cheap; rows carry their cost.
const testRounds = 1000

// world is a service with a clock and a log that tests control.
type world struct {
	*Service
	t     *testing.T
	store *Memory

	mu  sync.Mutex
	now time.Time
	log bytes.Buffer
}

func newWorld(t *testing.T, cfg Config) *world {
	t.Helper()
	w := &world{t: t, store: NewMemory(), now: time.Date(2026, 11, 21, 17, 42, 33, 752_999_000, time.UTC)}
	if cfg.Mode == "" {
		cfg.Mode = ModeBootstrap
	}
	cfg.Logger = slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cfg.Clock = w.clock
	var err error
	if w.Service, err = New(w.store, cfg); err != nil {
		t.Fatal(err)
	}
	w.hash.rounds = testRounds
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// Write takes the log.
func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

func (w *world) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

// ask sends a request in its wire form past the bus.
func (w *world) ask(request string) codec.IAMReply {
	w.t.Helper()
	r, err := codec.ParseIAMRequest([]byte(request))
	if err != nil {
		w.t.Fatalf("%s: %v", request, err)
	}
	reply := w.answer(context.Background(), findOperation(r.Operation), &r)
	if reply == nil {
		w.t.Fatalf("%s: no reply", request)
	}
	body, err := codec.MarshalIAMReply(reply)
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := codec.ParseIAMReply(body)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// grant asks for something that must succeed.
func (w *world) grant(request string) codec.IAMReply {
	w.t.Helper()
	reply := w.ask(request)
	if reply.Error != nil {
		w.t.Fatalf("%s: %v", request, reply.Error)
	}
	return reply
}

// refuse asks for something that must fail with `type: message`.
func (w *world) refuse(request, want string) {
	w.t.Helper()
	reply := w.ask(request)
	if reply.Error == nil {
		w.t.Errorf("%s: granted, want %s", request, want)
		return
	}
	if got := reply.Error.Error(); got != want {
		w.t.Errorf("%s: got %s, want %s", request, got, want)
	}
}

// seeded is a world with an administrator.
func seeded(t *testing.T) (*world, Admin) {
	t.Helper()
	w := newWorld(t, Config{})
	admin, err := w.Bootstrap(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return w, admin
}

// addUser creates a user and returns its id.
func (w *world) addUser(workspace, name, password, more string) string {
	w.t.Helper()
	return w.grant(`{"operation":"create-user","workspace":"` + workspace + `","user":{"username":"` + name + `","password":"` + password + `"` + more + `}}`).User.ID
}

// with changes a stored user behind the service's back.
func (w *world) with(id string, change func(*User)) {
	w.t.Helper()
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	u, ok := w.store.users[id]
	if !ok {
		w.t.Fatalf("no user %s", id)
	}
	change(&u)
	w.store.users[id] = u
}

func (w *world) setWorkspaceEnabled(id string, enabled bool) {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	ws := w.store.workspaces[id]
	ws.ID, ws.Enabled = id, enabled
	w.store.workspaces[id] = ws
}

// failingStore fails every look-up of a user or workspace.
type failingStore struct {
	*Memory
	err error
}

func (f failingStore) User(context.Context, string) (User, error) { return User{}, f.err }

func (f failingStore) Workspaces(context.Context) ([]Workspace, error) { return nil, f.err }

// panickingStore panics where failingStore fails.
type panickingStore struct{ *Memory }

func (panickingStore) User(context.Context, string) (User, error) { panic("secret detail") }

var errDriver = errors.New("driver text with secret detail")

// checkNoSecrets fails when the log holds any of them.
func (w *world) checkNoSecrets(secrets ...string) {
	w.t.Helper()
	for _, secret := range secrets {
		if secret != "" && strings.Contains(w.logged(), secret) {
			w.t.Errorf("the log holds %q", secret)
		}
	}
}

// runWith carries out a request and returns its bare error.
func (w *world) runWith(ctx context.Context, request string) error {
	w.t.Helper()
	r, err := codec.ParseIAMRequest([]byte(request))
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = w.attempt(ctx, findOperation(r.Operation), &r, &event{})
	return err
}

// withOperation adds an operation to the text of an object.
func withOperation(operation, request string) string {
	head := `{"operation":"` + operation + `"`
	if request == "{}" {
		return head + "}"
	}
	return head + "," + strings.TrimPrefix(request, "{")
}

// discardLogger writes the log to nobody, after formatting it.
func discardLogger() *slog.Logger { return slog.New(slog.NewJSONHandler(io.Discard, nil)) }
