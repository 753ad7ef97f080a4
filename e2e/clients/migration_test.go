package clients

import (
	"net/http"
	"os"
	"strings"
	"testing"
)

// IAM moves between TrustGraph's own service and `sluice iam` on one keyspace, there
// and back and there again, behind a gateway that stays. Nothing that a caller can
// see changes by moving; what either does, the other honours. docs/migration.md
// tells operators how.
func TestIAMMovesToAndFro(t *testing.T) {
	t.Parallel()
	m := newMigration(t)

	theirs := m.startReference(t, "token", "--bootstrap-token", operatorToken)
	m.settle(t)
	m.refuseCompany(t)
	before := m.take(t)
	before.says(t, map[string]string{
		"resolving operator": `"resolved_roles":["admin"]`, "login of alice": `"jwt"`,
		"resolving lasting": `"resolved_roles":["reader","writer"]`, "resolving bounded": `"resolved_workspace":"acme"`,
		"resolving expired": "api key expired", "resolving revoked": "unknown api key",
		"resolving disabled": "unknown api key", "resolving roleless": `"resolved_user_id"`,
		"login of disabled": "user disabled", "login of carol": "user disabled",
		"login of careless": `"jwt"`, "login of leaver": "bad credentials",
	})
	theirs.end(t)

	own := m.startOwn(t)
	m.awaitIAM(t)
	m.expect(t, "after the move to sluice iam", before)
	m.verify(t, "after the move to sluice iam", map[string]bool{"reference": true, "reference, rotated": true, "": false})
	m.change(t)
	changed := m.take(t)
	changed.says(t, map[string]string{
		"resolving dora": `"resolved_roles":["writer"]`, "login of dora": `"jwt"`, "login of alice": `"jwt"`,
		"resolving lasting": "unknown api key", "resolving disabled again": `"resolved_user_id"`,
		"login of roleless": "user disabled", "login of successor": `"jwt"`, "login of careless": "bad credentials",
	})
	own.stop(t)

	theirs = m.startReference(t, "bootstrap")
	m.askOnBus(t, `{"operation":"get-signing-key-public"}`)
	m.expect(t, "after the way back", changed)
	m.verify(t, "after the way back", map[string]bool{"sluice, rotated": true})
	if m.lastUsed(t, "bounded", "namesake") == "" {
		t.Error("after the way back, last_used is gone")
	}
	m.refuseBootstrap(t)
	m.changeAgain(t)
	again := m.take(t)
	again.says(t, map[string]string{
		"login of dora": `"jwt"`, "resolving dora": "unknown api key", "login of successor": "user disabled",
		"resolving newest": `"resolved_user_id"`, "login of latest": "bad credentials",
	})
	theirs.end(t)

	m.startOwn(t)
	m.awaitIAM(t)
	m.expect(t, "after the second move", again)
	m.verify(t, "after the second move", map[string]bool{"sluice": true, "sluice, rotated": true, "reference again": true})
}

// settle fills the reference's store, by way of the gateway that stays.
func (m *migration) settle(t *testing.T) {
	t.Helper()
	// What a deployment does before anybody can sign in: the reference seeds no
	// workspace, and refuses keys until there is one.
	m.askOnBus(t, `{"operation":"create-workspace","workspace_record":{"id":"default","name":"Default"}}`)
	p, _ := m.startGateway(t)
	m.url = p.url
	m.workspace(t, "acme", "Acme")
	m.workspace(t, "closed", "")
	m.workspace(t, "große Küche/2", "Kitchen")
	m.settlePeople(t)
	m.settleKeys(t)
	m.signIn(t, "reference", "alice")
	m.iam(t, `{"operation":"rotate-signing-key"}`, nil)
	m.signIn(t, "reference, rotated", "alice")
	m.choosePassword(t, "reference, rotated", "alice", "less correct horse")
	m.iam(t, `{"operation":"disable-workspace","workspace_record":{"id":"closed"}}`, nil)
}

func (m *migration) settlePeople(t *testing.T) {
	t.Helper()
	for name, p := range map[string]struct {
		login
		members string
	}{
		"alice":    {login{"default", "alice", "correct horse"}, `"name":"Alice L.","email":"alice@example.org","roles":["writer","reader"]`},
		"namesake": {login{"acme", "alice", "battery staple"}, `"roles":["admin"]`},
		"roleless": {login{"default", "bob", "correct horse"}, `"roles":[]`},
		"auditor":  {login{"default", "auditor", "correct horse"}, `"roles":["auditor"],"must_change_password":true,"enabled":false`},
		"cook":     {login{"große Küche/2", "Köchin ☕", "пароль ✓"}, `"roles":["reader"]`},
		"carol":    {login{"closed", "carol", "correct horse"}, `"roles":["writer"]`},
		"disabled": {login{"default", "disabled", "correct horse"}, `"roles":["reader"]`},
		"careless": {login{"default", "careless", "correct horse"}, `"roles":["reader"]`},
		"leaver":   {login{"default", "leaver", "correct horse"}, `"roles":["reader"]`},
	} {
		m.person(t, name, p.login, p.members)
	}
	m.reset(t, "careless")
	m.leave(t, "leaver")
	m.person(t, "heir", login{"default", "leaver", "another horse"}, `"roles":["writer"]`)
}

func (m *migration) settleKeys(t *testing.T) {
	t.Helper()
	m.key(t, "lasting", "alice", "")
	m.key(t, "bounded", "namesake", "2099-12-31T12:34:56.789Z")
	m.key(t, "expired", "alice", "2001-01-01")
	m.key(t, "roleless", "roleless", "")
	m.key(t, "revoked", "alice", "")
	m.key(t, "disabled", "disabled", "")
	m.key(t, "closed", "carol", "")
	m.revoke(t, "revoked", "default")
	m.do(t, "disable-user", "disabled")
}

// change does everything that changes a record, by sluice iam.
func (m *migration) change(t *testing.T) {
	t.Helper()
	m.workspace(t, "new", "New")
	m.iam(t, `{"operation":"update-workspace","workspace_record":{"id":"closed","name":"Open again","enabled":true}}`, nil)
	m.person(t, "dora", login{"new", "dora", "correct horse"}, `"roles":["writer"],"must_change_password":true`)
	m.key(t, "dora", "dora", "2099-01-01")
	m.key(t, "newest", "dora", "")
	m.signIn(t, "sluice", "dora")
	m.iam(t, `{"operation":"rotate-signing-key"}`, nil)
	m.signIn(t, "sluice, rotated", "alice")
	m.choosePassword(t, "sluice, rotated", "alice", "most correct horse")
	m.revoke(t, "lasting", "default")
	m.do(t, "enable-user", "disabled")
	m.key(t, "disabled again", "disabled", "")
	m.do(t, "disable-user", "roleless")
	m.do(t, "update-user", "auditor", `"user":{"name":"Her Audit","roles":["auditor","reader"]}`)
	m.do(t, "delete-user", "careless")
	m.person(t, "successor", login{"default", "careless", "third horse"}, `"roles":["reader"]`)
	m.person(t, "latest", login{"default", "latest", "correct horse"}, `"roles":["reader"]`)
	m.key(t, "latest", "latest", "")
	eventually(t, "the use of a key is noted", func() error {
		if m.lastUsed(t, "bounded", "namesake") == "" {
			return os.ErrNotExist
		}
		return nil
	})
}

// changeAgain changes with the reference what sluice iam wrote.
func (m *migration) changeAgain(t *testing.T) {
	t.Helper()
	m.signIn(t, "reference again", "dora")
	m.choosePassword(t, "reference again", "dora", "fourth horse")
	m.revoke(t, "dora", "new")
	m.do(t, "update-user", "successor", `"user":{"name":"Second","roles":["writer"],"enabled":false}`)
	m.do(t, "delete-user", "latest")
	m.person(t, "follower", login{"default", "latest", "fifth horse"}, `"roles":["reader"]`)
	m.reset(t, "namesake")
	// These logins were tried on both sides; every one costs a service some work.
	for _, name := range []string{"auditor", "careless", "carol", "cook", "disabled", "heir", "leaver", "roleless"} {
		delete(m.logins, name)
	}
}

// refuseCompany checks that sluice iam does not serve beside the reference.
func (m *migration) refuseCompany(t *testing.T) {
	t.Helper()
	own := m.startOwn(t)
	own.awaitEnd(t)
	if own.err == nil || !strings.Contains(own.log.String(), "another IAM service answers on this bus") {
		t.Fatalf("sluice iam beside the reference ended with %v:\n%s", own.err, own.log.String())
	}
	own.err = nil // as it should be
}

// refuseBootstrap checks that nobody becomes administrator of a store that has
// begun, in bootstrap mode either.
func (m *migration) refuseBootstrap(t *testing.T) {
	t.Helper()
	status, text, err := m.call("/api/v1/auth/bootstrap", `{}`)
	if err != nil || status != http.StatusUnauthorized {
		t.Errorf("bootstrap: %d %s %v", status, text, err)
	}
}
