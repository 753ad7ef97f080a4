package clients

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// census is everything that callers can see of IAM: what the lists show, what comes
// of every API key and of every login, by a name for each.
type census map[string]string

// take asks for all of it.
func (m *migration) take(t *testing.T) census {
	t.Helper()
	c := census{}
	for _, workspace := range m.list(t, c, "workspaces", `{"operation":"list-workspaces"}`) {
		for _, user := range m.list(t, c, "users", fmt.Sprintf(`{"operation":"list-users","workspace":%q}`, workspace)) {
			m.list(t, c, "api_keys", fmt.Sprintf(`{"operation":"list-api-keys","workspace":%q,"user_id":%q}`, workspace, user))
		}
	}
	for name, key := range m.keys {
		c["resolving "+name] = m.answer(t, fmt.Sprintf(`{"operation":"resolve-api-key","api_key":%q}`, key))
	}
	m.logIn(t, c)
	return c
}

// logIn tries all logins at once: each costs a service some work.
func (m *migration) logIn(t *testing.T, c census) {
	t.Helper()
	var mu sync.Mutex
	var running sync.WaitGroup
	for name, l := range m.logins {
		running.Go(func() {
			outcome := m.answer(t, fmt.Sprintf(`{"operation":"login","workspace":%q,"username":%q,"password":%q}`, l.workspace, l.username, l.password))
			mu.Lock()
			defer mu.Unlock()
			c["login of "+name] = outcome
		})
	}
	running.Wait()
}

// list notes the records of one list, but for when keys were last used, and returns
// their ids.
func (m *migration) list(t *testing.T, c census, kind, question string) (ids []string) {
	t.Helper()
	var reply map[string][]map[string]any
	m.iam(t, question, &reply)
	for _, record := range reply[kind] {
		delete(record, "last_used")
		id, _ := record["id"].(string)
		c[kind+" "+id] = marshal(t, record)
		ids = append(ids, id)
	}
	return ids
}

// answer is a reply without what is new in each, refusals included. It may be called
// from any goroutine.
func (m *migration) answer(t *testing.T, question string) string {
	t.Helper()
	status, text, err := m.call("/api/v1/iam", question)
	var reply map[string]any
	if err == nil && status == http.StatusOK {
		err = json.Unmarshal(text, &reply)
	}
	if err != nil || reply == nil {
		t.Errorf("no answer: %d %s %v", status, text, err)
	}
	if reply["jwt"] != nil {
		reply = map[string]any{"jwt": "yes"}
	}
	return marshal(t, reply)
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v) // members in order
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// expect takes another census, which must be the same.
func (m *migration) expect(t *testing.T, when string, want census) {
	t.Helper()
	got := m.take(t)
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s, %s: %q, was %q", when, name, got[name], text)
		}
	}
	for name, text := range got {
		if _, known := want[name]; !known {
			t.Errorf("%s, %s: %q, was not there", when, name, text)
		}
	}
}

// says checks that the census contains what the test is about, by parts of its lines.
func (c census) says(t *testing.T, want map[string]string) {
	t.Helper()
	for name, part := range want {
		if !strings.Contains(c[name], part) {
			t.Errorf("%s: %q, want %q in it", name, c[name], part)
		}
	}
}

// verify checks which tokens a gateway takes that has just been started, and so
// knows only the signing keys that IAM serves now.
func (m *migration) verify(t *testing.T, when string, want map[string]bool) {
	t.Helper()
	p, g := m.startGateway(t)
	for name, good := range want {
		p.admin = m.tokens[name]
		status, text, err := p.call("/api/v1/iam", `{"operation":"whoami"}`)
		if err != nil || (status == http.StatusOK) != good || !good && status != http.StatusUnauthorized {
			t.Errorf("%s, token %s: %d %s %v, want it taken: %v", when, name, status, text, err, good)
		}
	}
	g.stop(t)
}

// lastUsed is what the list says of a key.
func (m *migration) lastUsed(t *testing.T, key, owner string) string {
	t.Helper()
	var reply struct {
		Keys []struct {
			ID       string
			LastUsed string `json:"last_used"`
		} `json:"api_keys"`
	}
	m.iam(t, fmt.Sprintf(`{"operation":"list-api-keys","workspace":%q,"user_id":%q}`, m.logins[owner].workspace, m.ids[owner]), &reply)
	for _, k := range reply.Keys {
		if k.ID == m.keyIDs[key] {
			return k.LastUsed
		}
	}
	t.Fatalf("no key %s", key)
	return ""
}
