package auth

import (
	"fmt"
	"testing"

	"sluice/codec"
)

var sinkIdentity *Identity

// BenchmarkHit is the price of authentication for nearly every request.
func BenchmarkHit(b *testing.B) {
	k1, _ := testKeys(b)
	iam := newFakeIAM()
	iam.serves(k1.PEM)
	iam.resolves(map[string]string{"tg_0123456789abcdefghijklmnopqrstuv": "alice"})
	a := open(b, Config{IAM: iam})
	tokens := map[string][]byte{
		"api-key": []byte("tg_0123456789abcdefghijklmnopqrstuv"),
		"jwt":     k1.token(b, "u", hour()),
	}
	for name, token := range tokens {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if id, err := a.Authenticate(token); err != nil || id == nil {
						b.Error("refused")
					}
				}
			})
		})
	}
}

// BenchmarkMiss: a new token each time. The API key's share of IAM is a fake that
// answers at once.
func BenchmarkMiss(b *testing.B) {
	k1, _ := testKeys(b)
	iam := newFakeIAM()
	iam.serves(k1.PEM)
	iam.on("resolve-api-key", func(codec.IAMRequest) (codec.IAMReply, error) {
		return codec.IAMReply{ResolvedUserID: "u", ResolvedWorkspace: "w", ResolvedRoles: []string{"reader"}}, nil
	})
	a := open(b, Config{IAM: iam})
	b.Run("api-key", func(b *testing.B) {
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			sinkIdentity, _ = a.Authenticate(fmt.Appendf(nil, "tg_%d", n))
		}
	})
	b.Run("jwt", func(b *testing.B) {
		b.ReportAllocs()
		token := k1.token(b, "u", hour())
		for b.Loop() {
			a.tokens.verified.forget()
			sinkIdentity, _ = a.Authenticate(token)
		}
	})
}

// BenchmarkAuthorise is one decision for a request with an operation.
func BenchmarkAuthorise(b *testing.B) {
	table := NewRoleTable(nil)
	id := NewIdentity("me", "acme", []string{"writer"})
	a := Access{Kind: codec.Librarian, Operation: []byte("list-documents"), HasOperation: true}
	b.ReportAllocs()
	for b.Loop() {
		if table.Authorise(id, a, Target{Name: "acme"}) != nil {
			b.Fatal("denied")
		}
	}
}
