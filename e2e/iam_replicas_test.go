package e2e

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/bus"
	"sluice/bus/memory"
	"sluice/codec"
	"sluice/iam"
	"sluice/iam/cassandra"
	"sluice/iam/cassandra/nodetest"
)

// replica is an IAM service with a store and a bus of its own: so the test says
// which of several is asked. The keyspace is shared.
type replica struct {
	t        *testing.T // the one that started it
	store    *cassandra.Store
	bus      *memory.Bus
	requests bus.Topic

	mu      sync.Mutex
	waiting map[string]chan codec.IAMReply // guarded by mu
}

// startReplicas starts n services on one new keyspace.
func startReplicas(t *testing.T, n int) []*replica {
	t.Helper()
	node := nodetest.Shared(t)
	keyspace := "replicas_" + strings.ToLower(rand.Text())
	replicas := make([]*replica, n)
	for i := range replicas {
		store, err := cassandra.Open(cassandra.Options{
			Hosts: []string{node.Addr}, Username: node.Username, Password: node.Password, TLS: node.TLS(t),
			Keyspace: keyspace, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		replicas[i] = &replica{t: t, store: store, bus: memory.New(nil), waiting: map[string]chan codec.IAMReply{}}
	}
	// All at once: they make the tables side by side, too.
	for _, r := range replicas {
		r.start()
	}
	return replicas
}

func (r *replica) start() {
	r.t.Helper()
	var err error
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if err = r.store.Ready(r.t.Context()); err == nil {
			break
		}
		if time.Now().After(deadline) {
			r.t.Fatal(err)
		}
	}
	service, err := iam.New(r.store, iam.Config{Mode: iam.ModeBootstrap, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := service.Start(r.t.Context(), r.bus); err != nil {
		r.t.Fatal(err)
	}
	if r.requests, err = bus.ParseTopic("request:tg:iam"); err != nil {
		r.t.Fatal(err)
	}
	replies, err := bus.ParseTopic("response:tg:iam")
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.bus.Subscribe(r.t.Context(), bus.Consumer{Topic: replies, Handler: r.receive}); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := service.Close(context.Background()); err != nil {
			r.t.Error(err)
		}
		if err := r.bus.Close(context.Background()); err != nil {
			r.t.Error(err)
		}
	})
}

func (r *replica) receive(d *bus.Delivery) {
	defer d.Ack()
	reply, err := codec.ParseIAMReply(d.Body)
	if err != nil {
		r.t.Errorf("reply: %v", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting[d.ID] <- reply
}

// ask carries out an operation at this replica.
func (r *replica) ask(t *testing.T, format string, args ...any) codec.IAMReply {
	t.Helper()
	id, answer := rand.Text(), make(chan codec.IAMReply, 1)
	r.mu.Lock()
	r.waiting[id] = answer
	r.mu.Unlock()
	_, err := r.bus.Publish(t.Context(), &bus.Message{To: r.requests, ID: id, Body: fmt.Appendf(nil, format, args...)})
	if err != nil {
		t.Error(err)
		return codec.IAMReply{}
	}
	select {
	case reply := <-answer:
		return reply
	case <-time.After(2 * time.Minute):
		t.Errorf("no answer to %s", format)
		return codec.IAMReply{}
	}
}

func (r *replica) grant(t *testing.T, format string, args ...any) codec.IAMReply {
	t.Helper()
	reply := r.ask(t, format, args...)
	if reply.Error != nil {
		t.Fatalf("%s: %v", format, reply.Error)
	}
	return reply
}

// race asks all replicas at the same time, each of them twice. request makes the
// text for racer i.
func race(t *testing.T, replicas []*replica, request func(i int) string) []codec.IAMReply {
	replies := make([]codec.IAMReply, 2*len(replicas))
	var racers sync.WaitGroup
	for i := range replies {
		racers.Go(func() { replies[i] = replicas[i%len(replicas)].ask(t, "%s", request(i)) })
	}
	racers.Wait()
	return replies
}

// oneWinner returns which racer won; the others must have been told refusal.
func oneWinner(t *testing.T, replies []codec.IAMReply, refusal string) int {
	t.Helper()
	winner := -1
	for i, reply := range replies {
		switch {
		case reply.Error == nil && winner < 0:
			winner = i
		case reply.Error == nil:
			t.Errorf("racers %d and %d both won", winner, i)
		case reply.Error.Error() != refusal:
			t.Errorf("racer %d lost with %v, want %s", i, reply.Error, refusal)
		}
	}
	if winner < 0 {
		t.Fatal("nobody won")
	}
	return winner
}

// count returns how many records of each type the store holds, and how many
// signing keys are active.
func (r *replica) count(t *testing.T) (counts struct{ Users, Keys, Workspaces, Signing, Active int }) {
	t.Helper()
	err := r.store.Export(t.Context(), func(record any) error {
		switch record := record.(type) {
		case *iam.User:
			counts.Users++
		case *iam.APIKey:
			counts.Keys++
		case *iam.Workspace:
			counts.Workspaces++
		case *iam.SigningKey:
			counts.Signing++
			if record.Retired.IsZero() {
				counts.Active++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

// TestReplicasShareAStore: two whole services on one keyspace, asked for the same or
// for opposite things at the same time. One wins, and nothing is half-made.
func TestReplicasShareAStore(t *testing.T) {
	replicas := startReplicas(t, 2)
	t.Run("bootstrap", func(t *testing.T) { raceBootstrap(t, replicas) })
	t.Run("create-workspace", func(t *testing.T) { raceCreateWorkspace(t, replicas) })
	t.Run("create-user", func(t *testing.T) { raceCreateUser(t, replicas) })
	t.Run("rotate-signing-key", func(t *testing.T) { raceRotate(t, replicas) })
	t.Run("update-user and delete-user", func(t *testing.T) { raceUpdateAndDelete(t, replicas) })
	t.Run("the last administrators", func(t *testing.T) { raceLastAdmins(t, replicas) })
}

// raceBootstrap is D9 and D10.
func raceBootstrap(t *testing.T, replicas []*replica) {
	replies := race(t, replicas, func(int) string { return `{"operation":"bootstrap"}` })
	won := replies[oneWinner(t, replies, "auth-failed: auth failure")]
	counts := replicas[0].count(t)
	if counts.Users != 1 || counts.Keys != 1 || counts.Workspaces != 1 || counts.Active != 1 {
		t.Errorf("the store holds %+v", counts)
	}
	for i, r := range replicas {
		got := r.ask(t, `{"operation":"resolve-api-key","api_key":%q}`, won.BootstrapAdminAPIKey)
		if got.ResolvedUserID != won.BootstrapAdminUserID {
			t.Errorf("replica %d: the winner's key is %+v", i, got)
		}
		if users := r.grant(t, `{"operation":"list-users","workspace":"default"}`).Users; len(users) != 1 || users[0].ID != won.BootstrapAdminUserID {
			t.Errorf("replica %d: users %+v", i, users)
		}
	}
}

func raceCreateWorkspace(t *testing.T, replicas []*replica) {
	for n := range 5 {
		replies := race(t, replicas, func(i int) string {
			return fmt.Sprintf(`{"operation":"create-workspace","workspace_record":{"id":"w%d","name":"by %d"}}`, n, i)
		})
		winner := oneWinner(t, replies, "duplicate: workspace already exists")
		got := replicas[0].grant(t, `{"operation":"get-workspace","workspace_record":{"id":"w%d"}}`, n).Workspace
		if want := fmt.Sprintf("by %d", winner); got.Name != want {
			t.Errorf("workspace %d is %s, want %s", n, got.Name, want)
		}
	}
}

// raceCreateUser is D11: whoever was told that the name is theirs can log in.
func raceCreateUser(t *testing.T, replicas []*replica) {
	for n := range 3 {
		replies := race(t, replicas, func(i int) string {
			return fmt.Sprintf(`{"operation":"create-user","workspace":"default","user":{"username":"user%d","password":"password %d"}}`, n, i)
		})
		winner := oneWinner(t, replies, "duplicate: username already exists")
		for _, r := range replicas {
			r.grant(t, `{"operation":"login","username":"user%d","password":"password %d"}`, n, winner)
		}
	}
	if users := replicas[1].grant(t, `{"operation":"list-users","workspace":"default"}`).Users; len(users) != 4 {
		t.Errorf("%d users, want 4", len(users))
	}
}

// raceRotate is D13: after every rotation there is one key, and both replicas sign
// with it and serve it first.
func raceRotate(t *testing.T, replicas []*replica) {
	for range 5 {
		for i, reply := range race(t, replicas, func(int) string { return `{"operation":"rotate-signing-key"}` }) {
			if reply.Error != nil {
				t.Errorf("racer %d: %v", i, reply.Error)
			}
		}
		if counts := replicas[0].count(t); counts.Active != 1 {
			t.Fatalf("%+v", counts)
		}
	}
	for i, r := range replicas {
		other := replicas[1-i]
		r.grant(t, `{"operation":"rotate-signing-key"}`)
		token := other.grant(t, `{"operation":"login","username":"user0","password":"password %d"}`, passwordOf(t, other)).JWT
		first, _ := pem.Decode([]byte(r.grant(t, `{"operation":"get-signing-key-public"}`).SigningKeyPublic))
		if !signedBy(t, token, first) {
			t.Errorf("replica %d signs with a key that replica %d has retired", 1-i, i)
		}
	}
}

// passwordOf finds out with which password user0 was made.
func passwordOf(t *testing.T, r *replica) int {
	t.Helper()
	for i := range 4 {
		if r.ask(t, `{"operation":"login","username":"user0","password":"password %d"}`, i).Error == nil {
			return i
		}
	}
	t.Fatal("no password of user0 works")
	return 0
}

func signedBy(t *testing.T, token string, block *pem.Block) bool {
	t.Helper()
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	public, ok := parsed.(ed25519.PublicKey)
	if !ok {
		t.Fatalf("a public key of type %T", parsed)
	}
	end := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[end+1:])
	if err != nil {
		t.Fatal(err)
	}
	return ed25519.Verify(public, []byte(token[:end]), signature)
}

// raceUpdateAndDelete is D25: no ghost is left, whoever comes first.
func raceUpdateAndDelete(t *testing.T, replicas []*replica) {
	before := replicas[0].count(t)
	for n := range 5 {
		id := replicas[0].grant(t, `{"operation":"create-user","workspace":"default","user":{"username":"brief","password":"p"}}`).User.ID
		replies := race(t, replicas, func(i int) string {
			if i%2 == 0 {
				return fmt.Sprintf(`{"operation":"update-user","workspace":"default","user_id":%q,"user":{"name":"round %d"}}`, id, n)
			}
			return fmt.Sprintf(`{"operation":"delete-user","workspace":"default","user_id":%q}`, id)
		})
		oneWinner(t, []codec.IAMReply{replies[1], replies[3]}, "not-found: user not found")
		for _, reply := range []codec.IAMReply{replies[0], replies[2]} {
			if reply.Error != nil && reply.Error.Error() != "not-found: user not found" {
				t.Errorf("update: %v", reply.Error)
			}
		}
	}
	if after := replicas[0].count(t); after != before {
		t.Errorf("the store holds %+v, before %+v", after, before)
	}
}

// raceLastAdmins is D15: two administrators delete one another.
func raceLastAdmins(t *testing.T, replicas []*replica) {
	for n := range 5 {
		replicas[0].grant(t, `{"operation":"create-user","workspace":"default","user":{"username":"admin%d","password":"p","roles":["admin"]}}`, n)
		admins := administrators(t, replicas[0])
		if len(admins) != 2 {
			t.Fatalf("%d administrators", len(admins))
		}
		replies := make([]codec.IAMReply, 2)
		var racers sync.WaitGroup
		for i, id := range admins {
			racers.Go(func() {
				replies[i] = replicas[i].ask(t, `{"operation":"delete-user","workspace":"default","user_id":%q}`, id)
			})
		}
		racers.Wait()
		winner := oneWinner(t, replies, "operation-not-permitted: "+iam.ErrLastAdmin.Error())
		if left := administrators(t, replicas[1]); len(left) != 1 || left[0] != admins[1-winner] {
			t.Fatalf("administrators %v are left", left)
		}
	}
}

func administrators(t *testing.T, r *replica) []string {
	t.Helper()
	var ids []string
	for _, u := range r.grant(t, `{"operation":"list-users","workspace":"default"}`).Users {
		if strings.Contains(strings.Join(u.Roles, ","), iam.RoleAdmin) {
			ids = append(ids, u.ID)
		}
	}
	return ids
}
