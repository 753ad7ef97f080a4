package bench

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"testing"

	"sluice/bus"
	"sluice/bus/memory"
	"sluice/codec"
	"sluice/proxy/auth"
	"sluice/proxy/dispatch"
)

const (
	workspace = "acme"
	apiKey    = "tg_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
)

// askFunc is an IAM for benchmarks.
type askFunc func(request []byte) ([]byte, error)

func (f askFunc) Ask(request []byte) ([]byte, error) { return f(request) }

// anyKey takes every API key for alice's.
func anyKey(request []byte) ([]byte, error) {
	r, err := codec.ParseIAMRequest(request)
	if err != nil {
		return nil, err
	}
	if r.Operation == "get-signing-key-public" {
		der, err := x509.MarshalPKIXPublicKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public())
		if err != nil {
			return nil, err
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		return codec.MarshalIAMReply(&codec.IAMReply{SigningKeyPublic: string(text)})
	}
	return codec.MarshalIAMReply(&codec.IAMReply{
		ResolvedUserID: "alice", ResolvedWorkspace: workspace, ResolvedRoles: []string{"writer"},
	})
}

func newAuth(tb testing.TB) *auth.Authenticator {
	tb.Helper()
	a, err := auth.New(auth.Config{IAM: askFunc(anyKey)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(a.Close)
	return a
}

// caller is everything between a request's bytes and its reply's bytes: key,
// capability, workspace, translation, bus and back.
type caller struct {
	auth    *auth.Authenticator
	decide  auth.Authoriser
	table   *dispatch.Table
	token   []byte
	flow    string
	kind    codec.Kind
	request codec.Request
	reply   []byte
}

func (c *caller) call(body []byte) error {
	id, err := c.auth.Authenticate(c.token)
	if err != nil {
		return err
	}
	if !c.decide.AllowsAny(id, auth.HTTP, c.kind) {
		return auth.ErrDenied
	}
	if err := c.request.Parse(c.kind, body); err != nil {
		return err
	}
	ws := c.request.Member("workspace")
	text, isText := ws.String()
	target := auth.ResolveWorkspace(id, text, isText, ws.Truthy())
	if err := c.decide.Authorise(id, auth.ServiceAccess(auth.HTTP, &c.request), target); err != nil {
		return err
	}
	c.request.SetWorkspaceText(workspace)
	c.request.DisableStreaming()
	out, part, err := c.table.Call(dispatch.Key{Workspace: workspace, Flow: c.flow, Kind: c.kind}, &c.request, c.reply[:0], dispatch.Call{})
	c.reply = out
	if err == nil && part.Failed {
		err = errors.New("the service reported an error")
	}
	return err
}

// stack is one gateway without its HTTP server.
type stack struct {
	auth   *auth.Authenticator
	decide auth.Authoriser
	table  *dispatch.Table
}

func (s *stack) caller(flow string, kind codec.Kind) *caller {
	return &caller{auth: s.auth, decide: s.decide, table: s.table, token: []byte(apiKey), flow: flow, kind: kind}
}

// newStack builds a stack on the bus that open makes, with one flow `bench` whose
// text-completion is the pair of topics given.
func newStack(tb testing.TB, open func(bus.Replies) bus.Bus, completion codec.Interface) (*stack, bus.Bus) {
	tb.Helper()
	pending := dispatch.NewPending(0)
	b := open(pending)
	t := dispatch.New(b, pending, dispatch.Config{})
	tb.Cleanup(func() {
		if err := errors.Join(t.Close(context.Background()), b.Close(context.Background())); err != nil {
			tb.Error(err)
		}
	})
	t.StartFlow(workspace, "bench", codec.FlowRecord{Interfaces: map[string]codec.Interface{"text-completion": completion}})
	return &stack{auth: newAuth(tb), decide: auth.NewRoleTable(nil), table: t}, b
}

var memoryCompletion = codec.Interface{Request: "request:tg:bench:tc", Response: "response:tg:bench:tc"}

// newMemoryStack is a stack on the bus in this process with a completion service
// that allocates nothing.
func newMemoryStack(tb testing.TB) *stack {
	tb.Helper()
	s, b := newStack(tb, func(r bus.Replies) bus.Bus { return memory.New(r) }, memoryCompletion)
	serveCompletion(tb, b, memoryCompletion)
	return s
}

func serveCompletion(tb testing.TB, b bus.Bus, i codec.Interface) {
	tb.Helper()
	request, err := bus.ParseTopic(i.Request)
	if err != nil {
		tb.Fatal(err)
	}
	response, err := bus.ParseTopic(i.Response)
	if err != nil {
		tb.Fatal(err)
	}
	ctx := context.Background()
	var reply bus.Message // one delivery at a time, so one message serves all
	_, err = b.Subscribe(ctx, bus.Consumer{Topic: request, Name: "bench", Prefetch: 1024, Handler: func(d *bus.Delivery) {
		reply = bus.Message{To: response, ID: d.ID, Body: completionReply}
		if _, err := b.Publish(ctx, &reply); err != nil {
			tb.Error(err)
		}
		d.Ack()
	}})
	if err != nil {
		tb.Fatal(err)
	}
}
