//go:build !race

package auth

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"sluice/codec"
)

// TestHotPathAllocatesNothing pins what every request does.
func TestHotPathAllocatesNothing(t *testing.T) {
	k1, _ := testKeys(t)
	iam := newFakeIAM()
	iam.serves(k1.PEM)
	iam.resolves(map[string]string{"tg_alice": "alice"})
	a := open(t, Config{IAM: iam, APIKeysFile: write(t, keyFileFor("tg_ingest"))})
	var authoriser Authoriser = NewRoleTable(iam)
	reader := NewIdentity("me", "acme", []string{"reader"})
	header, own := []byte("Bearer tg_alice"), []byte("acme")
	get := Access{Kind: codec.Config, Operation: []byte("get"), HasOperation: true}
	put := Access{Surface: Socket, Kind: codec.Config, Operation: []byte("put"), HasOperation: true}
	mine := Access{Kind: codec.IAM, Operation: []byte("list-api-keys"), HasOperation: true, UserID: []byte("me")}
	var req codec.Request
	body := []byte(`{"operation":"update-user","workspace":"acme","user_id":"me","user":{"roles":[]}}`)
	if err := req.Parse(codec.IAM, body); err != nil {
		t.Fatal(err)
	}
	jwt := string(k1.token(t, "u", hour()))
	authenticate := func(token string) func() {
		text := []byte(token)
		return func() { _, _ = a.Authenticate(text) }
	}
	tests := []struct {
		name string
		run  func()
	}{
		{"bearer", func() { _, _ = Bearer(header) }},
		{"API key hit", authenticate("tg_alice")},
		{"API key of the file", authenticate("tg_ingest")},
		{"refused API key hit", authenticate("tg_mallory")},
		{"JWT hit", authenticate(jwt)},
		{"neither", authenticate("password")},
		{"own workspace", func() { _ = ResolveWorkspace(reader, own, true, true) }},
		{"before the body", func() { _ = authoriser.AllowsAny(reader, HTTP, codec.Config) }},
		{"allowed", func() { _ = authoriser.Authorise(reader, get, Target{Name: "acme"}) }},
		{"denied", func() { _ = authoriser.Authorise(reader, put, Target{Name: "acme"}) }},
		{"one's own", func() { _ = authoriser.Authorise(reader, mine, Target{}) }},
		{"access from a body", func() { _ = ServiceAccess(HTTP, &req) }},
	}
	for _, tt := range tests {
		tt.run() // a miss fills the caches
		if n := testing.AllocsPerRun(200, tt.run); n != 0 {
			t.Errorf("%s: %v allocations", tt.name, n)
		}
	}
}

// TestRenewalAllocatesNothing: while an answer in use is being renewed, its users
// notice nothing.
func TestRenewalAllocatesNothing(t *testing.T) {
	k1, _ := testKeys(t)
	var book userBook
	book.set("alice", true, "reader")
	release := make(chan struct{})
	var asked atomic.Int64
	iam := confirmingIAM(k1, &book)
	iam.on("get-user", func(r codec.IAMRequest) (codec.IAMReply, error) {
		if asked.Add(1) > 1 {
			<-release
		}
		return book.get(r)
	})
	var ahead atomic.Int64
	a := open(t, Config{IAM: iam, Grace: testGrace, Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	defer close(release) // before the authenticator is closed
	token := k1.token(t, "alice", hour())
	mustPass(t, a, token)
	ahead.Store(int64(answerLife - renewEarly/2))
	mustPass(t, a, token)
	for asked.Load() < 2 {
		runtime.Gosched()
	}
	if n := testing.AllocsPerRun(200, func() { _, _ = a.Authenticate(token) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
