package iam_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/codec"
	"sluice/iam"
	"sluice/iam/bolt"
	"sluice/iam/cassandra"
	"sluice/iam/cassandra/nodetest"
)

// stores are the stores that a service can have.
var stores = map[string]func(t testing.TB) iam.Store{
	"memory": func(testing.TB) iam.Store { return iam.NewMemory() },
	"bolt": func(t testing.TB) iam.Store {
		s, err := bolt.Open(filepath.Join(t.TempDir(), "iam.db"), bolt.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	},
	"cassandra": func(t testing.TB) iam.Store {
		node := nodetest.Shared(t)
		s, err := cassandra.Open(cassandra.Options{
			Hosts: []string{node.Addr}, Username: node.Username, Password: node.Password, TLS: node.TLS(t),
			Keyspace: "iam_" + strings.ToLower(rand.Text()), Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		deadline := time.Now().Add(2 * time.Minute)
		for err := s.Ready(t.Context()); err != nil; err = s.Ready(t.Context()) {
			if !errors.Is(err, cassandra.ErrUnavailable) || time.Now().After(deadline) {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		return s
	},
}

func newService(t testing.TB, store iam.Store) *iam.Service {
	t.Helper()
	// Lines are formatted, as they are in production.
	log := slog.New(slog.NewJSONHandler(io.Discard, nil))
	s, err := iam.New(store, iam.Config{Mode: iam.ModeBootstrap, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	s.CheapHashes()
	return s
}

// session asks a service as a gateway would.
type session struct {
	t       testing.TB
	service *iam.Service
}

func (s session) ask(format string, args ...any) codec.IAMReply {
	s.t.Helper()
	body, err := s.service.Handle(s.t.Context(), fmt.Appendf(nil, format, args...))
	if err != nil {
		s.t.Fatal(err)
	}
	reply, err := codec.ParseIAMReply(body)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply
}

func (s session) grant(format string, args ...any) codec.IAMReply {
	s.t.Helper()
	reply := s.ask(format, args...)
	if reply.Error != nil {
		s.t.Fatalf("%s: %v", format, reply.Error)
	}
	return reply
}

func (s session) refuse(want, format string, args ...any) {
	s.t.Helper()
	if reply := s.ask(format, args...); reply.Error == nil || reply.Error.Error() != want {
		s.t.Errorf("%s: %v, want %s", format, reply.Error, want)
	}
}

// TestExampleSession is section 12 of the contract, the service's half, with the
// step that fails there.
func TestExampleSession(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			s := session{t, newService(t, open(t))}
			public := s.grant(`{"operation":"get-signing-key-public"}`).SigningKeyPublic // a gateway that started before
			boot := s.grant(`{"operation":"bootstrap"}`)
			s.refuse("auth-failed: auth failure", `{"operation":"bootstrap"}`)
			temporary := s.grant(`{"operation":"reset-password","workspace":"default","user_id":"%s"}`, boot.BootstrapAdminUserID).TemporaryPassword
			s.grant(`{"operation":"login","username":"admin","password":"%s"}`, temporary)
			if again := s.grant(`{"operation":"get-signing-key-public"}`).SigningKeyPublic; again != public {
				t.Error("the key that the gateway had fetched is not the one that signs (D3)")
			}
			s.grant(`{"operation":"change-password","user_id":"%s","password":"%s","new_password":"long admin passphrase"}`, boot.BootstrapAdminUserID, temporary)
			s.grant(`{"operation":"create-workspace","workspace_record":{"id":"acme","name":"Acme"}}`)
			alice := s.grant(`{"operation":"create-user","workspace":"acme","user":{"username":"alice","password":"s3cret","roles":["writer"],"email":"alice@example.com"}}`).User
			s.refuse("auth-failed: no such user", `{"operation":"login","username":"alice","password":"s3cret"}`)
			s.grant(`{"operation":"login","username":"alice","password":"s3cret","workspace":"acme"}`)
			s.refuse("operation-not-permitted: target user is in a different workspace",
				`{"operation":"create-api-key","workspace":"default","key":{"user_id":"%s","name":"laptop"}}`, alice.ID)
			key := s.grant(`{"operation":"create-api-key","workspace":"acme","key":{"user_id":"%s","name":"laptop","expires":"2099-12-31"}}`, alice.ID)
			if key.APIKey.Expires != "2099-12-31T00:00:00+00:00" || key.APIKey.LastUsed != "" || key.APIKey.Prefix != key.APIKeyPlaintext[:7] {
				t.Errorf("key %+v", key.APIKey)
			}
			who := s.grant(`{"operation":"resolve-api-key","api_key":"%s"}`, key.APIKeyPlaintext)
			if who.ResolvedUserID != alice.ID || who.ResolvedWorkspace != "acme" || strings.Join(who.ResolvedRoles, " ") != "writer" {
				t.Errorf("resolved %+v", who)
			}
			s.grant(`{"operation":"revoke-api-key","workspace":"acme","key_id":"%s"}`, key.APIKey.ID)
			s.refuse("auth-failed: unknown api key", `{"operation":"resolve-api-key","api_key":"%s"}`, key.APIKeyPlaintext)
			s.refuse("not-found: api key not found", `{"operation":"revoke-api-key","workspace":"acme","key_id":"%s"}`, key.APIKey.ID)
		})
	}
}

// TestRaces is section 5.15 of the contract through the operations, on every
// store: one winner, and nobody lost.
func TestRaces(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			s := session{t, newService(t, open(t))}
			// race returns how many are told that they won, and how many are told
			// nothing: a store elsewhere may lose the winner's answer.
			race := func(operation string) (won, unknown int) {
				var wg sync.WaitGroup
				results := make(chan *codec.ServiceError, 8)
				for range cap(results) {
					wg.Go(func() { results <- s.ask("%s", operation).Error })
				}
				wg.Wait()
				close(results)
				for refusal := range results {
					switch {
					case refusal == nil:
						won++
					case refusal.Type == "internal-error" && name == "cassandra":
						unknown++
					case refusal.Type == "internal-error":
						t.Errorf("%s: %v", operation, refusal)
					}
				}
				return won, unknown
			}
			one := func(operation string) {
				won, unknown := race(operation)
				if won == 0 && unknown > 0 {
					s.ask("%s", operation) // in case that nobody won
					won = 1
				}
				if won != 1 {
					t.Errorf("%s: %d winners", operation, won)
				}
			}
			for _, operation := range []string{
				`{"operation":"bootstrap"}`,
				`{"operation":"create-workspace","workspace_record":{"id":"acme"}}`,
				`{"operation":"create-user","workspace":"acme","user":{"username":"alice","password":"p"}}`,
			} {
				one(operation)
			}
			users := s.grant(`{"operation":"list-users","workspace":"acme"}`).Users
			if len(users) != 1 {
				t.Fatalf("users %+v", users)
			}
			about := `"user_id":"` + users[0].ID + `"`
			one(`{"operation":"change-password","password":"p","new_password":"q",` + about + `}`)
			one(`{"operation":"delete-user","workspace":"acme",` + about + `}`)
			if won, unknown := race(`{"operation":"rotate-signing-key"}`); won+unknown != 8 {
				t.Errorf("rotate-signing-key: %d winners", won)
			}
			if left := s.grant(`{"operation":"list-users","workspace":"acme"}`).Users; len(left) != 0 {
				t.Errorf("left are %+v", left)
			}
		})
	}
}

// BenchmarkResolveAPIKey is a look-up without the bus, on one core, one at a time
// and 64 at once.
func BenchmarkResolveAPIKey(b *testing.B) {
	for name, open := range stores {
		b.Run(name, func(b *testing.B) {
			s := newService(b, open(b))
			admin, err := s.Bootstrap(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			fill(b, session{b, s})
			body, err := codec.MarshalIAMRequest(&codec.IAMRequest{Operation: "resolve-api-key", APIKey: admin.APIKey})
			if err != nil {
				b.Fatal(err)
			}
			for _, atOnce := range []int{1, 64} {
				b.Run(fmt.Sprint(atOnce), func(b *testing.B) {
					defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
					b.ReportAllocs()
					b.SetParallelism(atOnce)
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							if _, err := s.Handle(b.Context(), body); err != nil {
								b.Error(err)
							}
						}
					})
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lookups/s")
				})
			}
		})
	}
}

// fill makes a store's trees deeper than one page.
func fill(t testing.TB, s session) {
	for range 8 {
		var wg sync.WaitGroup
		for range 125 {
			wg.Go(func() {
				name := iam.NewAPIKey()
				id := s.grant(`{"operation":"create-user","workspace":"default","user":{"username":"%s","password":"p"}}`, name).User.ID
				s.grant(`{"operation":"create-api-key","workspace":"default","key":{"user_id":"%s","name":"k"}}`, id)
			})
		}
		wg.Wait()
	}
}
