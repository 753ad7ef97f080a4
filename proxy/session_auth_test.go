package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"sluice/codec"
	"sluice/proxy/auth"
)

// TestSocketCredentials: G25, and authentication at any time.
func TestSocketCredentials(t *testing.T) {
	r := newSocketRig(t, Config{})
	r.completions("acme", nil)
	r.completions("default", nil)
	for _, c := range []*client{
		r.dial("?token=writer"),
		r.dial("", "Authorization", "Bearer writer"),
		r.dial("?token=writer", "Authorization", "Bearer wrong"),
	} {
		c.say(askFrame("1", "silently"))
		c.expect(answerFrame("1", "silently", true))
		// Failing leaves the earlier identity in force, success replaces it.
		c.say(`{"type":"auth","token":"wrong"}`, askFrame("2", "still"), `{"type":"auth","token":"admin"}`)
		c.expect(`{"type":"auth-failed","error":"auth failure"}`)
		c.expectAll(`{"type":"auth-ok","workspace":"default"}`, answerFrame("2", "still", true))
	}
	for _, c := range []*client{r.dial("?token=wrong"), r.dial("", "Authorization", "Basic writer"), r.dial("?token=away")} {
		c.say(askFrame("1", "x"))
		c.expect(`{"id":1,` + authRequired)
		c.say(`{"type":"auth","token":"reader"}`, askFrame("2", "x"))
		c.expect(`{"type":"auth-ok","workspace":"acme"}`, answerFrame("2", "x", true))
	}
}

// TestSocketReadsOnWhileAuthenticating: pings are answered while IAM takes its
// time, and frames wait for the outcome.
func TestSocketReadsOnWhileAuthenticating(t *testing.T) {
	r := newSocketRig(t, Config{})
	r.completions("acme", nil)
	hold := make(chan struct{})
	r.tokens.hold(hold)
	c := r.dial("")
	ponged := make(chan string, 1)
	c.SetPongHandler(func(s string) error { ponged <- s; return nil })
	large := strings.Repeat("x", 2*strangerBytes)
	c.say(`{"type":"auth","token":"writer"}`, askFrame("1", "small"))
	if err := c.WriteControl(websocket.PingMessage, []byte("still there?"), time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	go func() {
		if <-ponged == "still there?" {
			close(hold)
		}
	}()
	c.say(askFrame("2", large)) // waits for the outcome at the 64 KiB that strangers have
	c.expect(`{"type":"auth-ok","workspace":"acme"}`)
	c.expectAll(answerFrame("1", "small", true), answerFrame("2", large, true))
}

func TestSocketStrangers(t *testing.T) {
	hasty := newSocketRig(t, Config{SocketAuthWait: 200 * time.Millisecond})
	hasty.dial("").expectClose(codePolicy, reasonUnauthorised)
	eventually(t, "the late one is gone", func() bool { return hasty.server.sockets.strangers.Load() == 0 })
	r := newSocketRig(t, Config{MaxUnauthenticated: 3})
	brief, known := r.dial(""), r.dial("?token=admin")
	eventually(t, "the second is known", func() bool { return r.server.sockets.strangers.Load() == 1 })
	brief.say(askFrame("1", strings.Repeat("x", strangerBytes)))
	brief.expectClose(codeTooBig, reasonTooBig)
	eventually(t, "strangers are gone", func() bool { return r.server.sockets.strangers.Load() == 0 })
	for range 3 {
		r.dial("")
	}
	_, resp, err := websocket.DefaultDialer.Dial("ws://"+r.addr+"/api/v1/socket", nil) //nolint:bodyclose // refused: the library has read it
	if err == nil || resp.StatusCode != 503 {
		t.Errorf("one stranger too many: %v", err)
	}
	known.say(`{"id":1,"request":{}}`)
	known.expect(`{"id":1,"error":{"message":"'service'","type":"error"},"complete":true}`)
}

// expiring is an identity that must be asked for again at once, and counts for
// some minutes while that is not possible.
func expiring(source auth.Source) *auth.Identity {
	id := auth.NewIdentity("u-short", "acme", []string{"writer"})
	id.Source, id.Expires = source, time.Now().Add(-time.Minute)
	id.GraceEnd = id.Expires.Add(5 * time.Minute)
	return id
}

// TestSocketIdentityIsChecked: G8.
func TestSocketIdentityIsChecked(t *testing.T) {
	quick := Config{SocketPing: 80 * time.Millisecond, SocketDead: patience}
	t.Run("expired JWT", func(t *testing.T) {
		r := newSocketRig(t, quick)
		r.completions("acme", nil)
		id := expiring(auth.JWT)
		id.Ends = id.Expires
		r.tokens.set("short", id, nil)
		c := r.dial("?token=short")
		c.say(askFrame("1", "x"))
		c.expect(`{"id":1,` + authRequired)
		c.say(`{"type":"auth","token":"writer"}`, askFrame("2", "x"))
		c.expect(`{"type":"auth-ok","workspace":"acme"}`, answerFrame("2", "x", true))
	})
	for _, source := range []auth.Source{auth.APIKey, auth.JWT} {
		t.Run(source.String()+" still good", func(t *testing.T) {
			r := newSocketRig(t, quick)
			r.completions("acme", nil)
			id := expiring(source)
			if source == auth.JWT { // confirmed for a minute, good for an hour
				id.Ends = time.Now().Add(time.Hour)
			}
			r.tokens.set("short", id, nil)
			c := r.dial("?token=short")
			eventually(t, "it is asked for again", func() bool { return r.tokens.asked.Load() > 1 })
			c.say(askFrame("1", "x"))
			c.expect(answerFrame("1", "x", true))
		})
		t.Run(source.String()+" revoked", func(t *testing.T) { testRevokedOnSocket(t, quick, source) })
		t.Run(source.String()+" while IAM is away", func(t *testing.T) {
			r := newSocketRig(t, quick)
			r.completions("acme", nil)
			r.tokens.set("short", expiring(source), nil)
			c := r.dial("?token=short")
			c.say(askFrame("1", "x"))
			c.expect(answerFrame("1", "x", true))
			r.tokens.set("short", nil, auth.ErrUnavailable)
			before := r.tokens.asked.Load()
			eventually(t, "it is asked for again", func() bool { return r.tokens.asked.Load() > before })
			c.say(askFrame("2", "x"))
			c.expect(answerFrame("2", "x", true))
		})
	}
}

// testRevokedOnSocket: a revoked key, or a disabled user's token, ends a socket as
// soon as its requests are done (D7, G8).
func testRevokedOnSocket(t *testing.T, quick Config, source auth.Source) {
	r := newSocketRig(t, quick)
	released := make(chan struct{})
	served := r.completions("acme", released)
	id := expiring(source)
	id.Expires = time.Now().Add(time.Hour)
	r.tokens.set("short", id, nil)
	c := r.dial("?token=short")
	c.say(askFrame("1", "hold"))
	eventually(t, "the request runs", func() bool { return served.Load() == 1 })
	r.tokens.set("short", nil, nil)
	s := r.onlySession(t)
	s.mu.Lock()
	s.identity.checkAt = 1 // an hour later
	s.mu.Unlock()
	eventually(t, "the refusal is known", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.identity.revoked
	})
	c.say(askFrame("2", "x"))
	c.expect(`{"id":2,` + authRequired)
	close(released)
	c.expect(answerFrame("1", "hold", true)) // what runs may finish
	c.expectClose(codePolicy, reasonRefused)
}

// onlySession is the session of the one socket there is.
func (r *socketRig) onlySession(t *testing.T) *session {
	t.Helper()
	all := r.server.sockets.snapshot(nil)
	if len(all) != 1 {
		t.Fatalf("%d sockets", len(all))
	}
	return all[0].handler.(*session) //nolint:forcetypeassert // a /api/v1/socket
}

// TestSocketAttacks: G1, G13, G26: what the reference lets through.
func TestSocketAttacks(t *testing.T) {
	r := newSocketRig(t, Config{})
	bodies := make(chan string, 16)
	for _, name := range []string{"iam", "config", "flow", "knowledge", "librarian"} {
		r.serve("request:tg:"+name, "response:tg:"+name, func(body string, reply func(string)) {
			bodies <- body
			reply(`{"error":{"type":"served","message":"served"}}`)
		})
	}
	r.completions("acme", nil)
	foreign := r.completions("default", nil)
	c := r.dial("?token=reader")
	for _, frame := range []string{
		`{"id":1,"service":"iam","request":{"operation":"create-user","user":{"username":"eve","roles":["admin"]}}}`,
		`{"id":1,"service":"iam","request":{"operation":"bootstrap"}}`,
		`{"id":1,"service":"config","request":{"operation":"put","values":[]}}`,
		`{"id":1,"service":"flow","request":{"operation":"stop-flow","flow-id":"f"}}`,
		`{"id":1,"service":"knowledge","request":{"operation":"delete-kg-core","id":"x"}}`,
		// Foreign workspaces, in the envelope, inside, of any type.
		`{"id":1,"service":"config","workspace":"default","request":{"operation":"get"}}`,
		`{"id":1,"service":"config","request":{"operation":"get","workspace":"default"}}`,
		`{"id":1,"service":"config","workspace":"acme","request":{"operation":"get","workspace":"default"}}`,
		`{"id":1,"service":"config","workspace":"default","request":{"operation":"get","workspace":"acme"}}`,
		`{"id":1,"service":"config","request":{"operation":"get","workspace":["acme"]}}`,
		`{"id":1,"service":"text-completion","flow":"f","workspace":"default","request":{"system":"","prompt":""}}`,
		`{"id":1,"service":"text-completion","flow":"f","workspace":{"a":1},"request":{"system":"","prompt":""}}`,
		// The last of several counts, everywhere and however it is spelled.
		`{"id":1,"service":"config","request":{"operation":"get","operation":"put"}}`,
		`{"id":1,"service":"config","request":{"operation":"get","operatio\u006e":"delete"}}`,
		`{"id":1,"service":"config","service":"iam","request":{"operation":"get"}}`,
		`{"id":1,"service":"config","request":{"operation":"get"},"request":{"operation":"put"}}`,
		`{"id":1,"service":"config","workspace":"acme","workspace":"default","request":{"operation":"get"}}`,
		`{"id":1,"service":"config","request":{"operation":"get","workspace":"acme","work\u0073pace":"default"}}`,
		`{"id":1,"service":"config","request":{"operation":["get"]}}`,
		`{"id":1,"service":"config","request":{"operation":"getvalues-all-ws","type":"t"}}`,
	} {
		c.say(frame)
		if got := c.hear(); got != `{"id":1,`+accessDenied {
			t.Errorf("%s\n%s", frame, got)
		}
	}
	if len(bodies) != 0 || foreign.Load() != 0 {
		t.Fatal("something reached a service")
	}
	served := `{"id":1,"response":{"error":{"type":"served","message":"served"}},"complete":true}`
	c.say(`{"id":1,"service":"config","request":{"operation":"put","operation":"get","workspace":"default","workspace":null}}`)
	c.expect(served)
	if body := <-bodies; workspaceIn(t, body) != "acme" || !strings.Contains(body, `"operation":"get"`) {
		t.Error(body)
	}
	admin := r.dial("?token=admin")
	admin.say(`{"id":1,"service":"iam","workspace":"acme","request":{"operation":"list-users","actor":"somebody else"}}`)
	admin.expect(served)
	if body := <-bodies; workspaceIn(t, body) != "acme" || !strings.Contains(body, `"actor":"u-admin"`) {
		t.Errorf("actor or inherited workspace: %s", body)
	}
}

func workspaceIn(t *testing.T, body string) string {
	t.Helper()
	v, err := codec.ParseValue([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	text, _ := v.Get("workspace").String()
	return string(text)
}
