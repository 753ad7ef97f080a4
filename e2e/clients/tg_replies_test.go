package clients

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// canned is a reply that no server of ours gives on demand, and what a command
// makes of it.
type canned struct {
	run    string // as words takes it
	status int    // 0: 200
	reply  string

	stdout, stderr string
	exit           int
	binds          part
}

// failed are the rows of section 5 of cli.md.
func failed() []canned {
	row := func(status int, reply, text string) canned {
		return canned{run: "list-users", status: status, reply: reply, stderr: "Exception: " + text + "\n", exit: 1}
	}
	return []canned{
		row(401, `{"error":"auth failure"}`, "HTTP 401: auth failure"),
		row(403, `{"error": "access denied"}`, "HTTP 403: access denied"),
		row(404, "404: Not Found", "HTTP 404: 404: Not Found"),
		row(500, "boom", "HTTP 500: boom"),
		row(500, `{}`, "HTTP 500: error"),
		row(500, `[]`, "HTTP 500: []"),
		row(201, `{"users":[]}`, "HTTP 201: error"),
		row(503, `{"error":{"type":"busy","message":"try again"}}`, "HTTP 503: busy: try again"),
		row(200, `{"error":{"type":"duplicate","message":"workspace already exists"}}`, "duplicate: workspace already exists"),
		row(200, `{"error":{"message":"m"}}`, "m"),
		row(200, `{"error":{"type":"t"}}`, "t: "),
		row(200, `{"error":{"type":"","message":"m"}}`, "m"),
		row(200, `{"error":{}}`, "error"),
		row(200, `{"error":"text"}`, "text"),
		row(200, `{"error":"","users":[]}`, ""),
		row(200, `{"error":null,"users":[]}`, "None"),
		row(200, `{"error":{"type":"t","message":"Zoë — \u00fc"}}`, "t: Zoë — ü"),
		{run: "list-users", reply: "not JSON", stderr: "Exception: ", exit: 1, binds: beginning},
		{run: "list-users", reply: "", stderr: "Exception: ", exit: 1, binds: beginning},
		{run: "bootstrap-iam", status: 500, reply: "boom", stderr: "Exception: HTTP 500: boom\n", exit: 1},
		{run: "bootstrap-iam", reply: `{"error":{"type":"t","message":"m"}}`, stderr: "Exception: IAM t: m\n", exit: 1},
		{
			run: "bootstrap-iam", reply: `{"bootstrap_admin_user_id":"u"}`, exit: 1,
			stderr: "Exception: IAM response did not contain a bootstrap token — the service may already be bootstrapped, or may be running in token mode.\n",
		},
		{run: "reset-password --user-id u", reply: `{}`, stderr: "Exception: IAM returned no temporary password — unexpected\n", exit: 1},
	}
}

// poor are replies without what they should have.
func poor() []canned {
	return []canned{
		{run: "login --username u --password p", reply: `{}`, stdout: "\n"},
		{run: "login --username u --password p", reply: `{"jwt":"j"}`, stdout: "j\n"},
		{run: "create-user --username u --password p", reply: `{}`, stdout: "\n", stderr: "User id: \nUsername: \nRoles: \n"},
		{run: "create-user --username u --password p", reply: `{"user":{"id":"i"}}`, stdout: "i\n", stderr: "User id: i\nUsername: \nRoles: \n"},
		{
			run: "create-api-key --user-id u --name n", reply: `{"api_key":{"id":"i"}}`, stdout: "\n",
			stderr: "Key id: i\nName: \nPrefix: \nAPI key (shown once, capture now):\n",
		},
		{run: "create-workspace --workspace-id w", reply: `{}`, stdout: "Workspace created: \n"},
		{run: "list-users", reply: `{}`, stdout: "No users.\n"},
		{run: "list-users", reply: `{"users":[]}`, stdout: "No users.\n"},
		{run: "list-api-keys --user-id u", reply: `{}`, stdout: "No keys.\n"},
		{run: "list-workspaces", reply: `{}`, stdout: "No workspaces.\n"},
		{run: "disable-user --user-id u", reply: `{}`, stdout: "Disabled user u\n"},
		{run: "whoami", reply: `{}`, stdout: "(no user record returned)\n"},
		{run: "whoami", reply: `{"user":{}}`, stdout: "(no user record returned)\n"},
		{run: "whoami", reply: `{"user":null}`, stdout: "(no user record returned)\n"},
		{
			run: "whoami", reply: `{"user":{"id":"i","name":null,"workspace":"w","enabled":true}}`,
			stdout: person("i", "", "", "", "w", "", "yes", "no", ""),
		},
		{
			run: "update-user --user-id u --name n", reply: `{"user":{"id":"i","enabled":true}}`,
			stdout: "id        : i\nusername  : \nname      : \nemail     : \nworkspace : \nroles     : \nenabled   : yes\nmust-change-pw: no\n",
		},
		{
			run: "update-user --user-id u --name n", reply: `{}`,
			stdout: "id        : \nusername  : \nname      : \nemail     : \nworkspace : \nroles     : \nenabled   : no\nmust-change-pw: no\n",
		},
	}
}

// tables are lists and records to the letter.
func tables() []canned {
	return []canned{
		{
			run: "whoami",
			reply: `{"user":{"id":" 007\n\n  b ","username":"1.50","name":"漢字","email":"a\rb","workspace":"\u001b[31mx","roles":["b","a"],` +
				`"enabled":false,"must_change_password":true,"created":"  c"}}`,
			stdout: `id                    007

                        b
username              1.50
name                  漢字
email                 a
                      b
workspace             ` + "\x1b[31mx" + `
roles                 b, a
enabled               no
must change password  yes
created               c
`,
		},
		{
			run: "update-user --user-id u --name n",
			reply: `{"user":{"id":" 007 ","username":"1.50","name":"漢\n字","email":"e","workspace":"w","roles":["b","a"],` +
				`"enabled":false,"must_change_password":true,"created":"c"}}`,
			stdout: "id        :  007 \nusername  : 1.50\nname      : 漢\n字\nemail     : e\nworkspace : w\nroles     : b, a\nenabled   : no\nmust-change-pw: yes\n",
		},
		{
			run:   "list-api-keys --user-id u",
			reply: `{"api_keys":[{"id":"k","user_id":"u","name":"n","prefix":"tg_abcd","expires":"","created":"c","last_used":""}]}`,
			stdout: `+----+------+---------+---------+-----------+---------+
| id | name | prefix  | created | last used | expires |
+----+------+---------+---------+-----------+---------+
| k  | n    | tg_abcd | c       | —         | never   |
+----+------+---------+---------+-----------+---------+
`,
		},
		{
			run: "list-users",
			reply: `{"users":[{"id":"1","username":"007","name":"1.50","roles":["b","a"],"enabled":true,"must_change_password":true},` +
				`{"id":"2","username":"漢字","name":null,"roles":[],"enabled":false},{"id":"00003","username":"e\u0301","name":"-1e5","roles":["x"]}]}`,
			stdout: `+-------+----------+------+-------+---------+-----------+
| id    | username | name | roles | enabled | change-pw |
+-------+----------+------+-------+---------+-----------+
| 1     | 007      | 1.50 | b, a  | yes     | yes       |
| 2     | 漢字       |      |       | no      | no        |
| 00003 | ` + "e\u0301" + `       | -1e5 | x     | no      | no        |
+-------+----------+------+-------+---------+-----------+
`,
		},
		{
			run:   "list-workspaces",
			reply: `{"workspaces":[{"id":"z","name":"Z\n","enabled":false,"created":"2026-01-02T03:04:05+00:00"},{"id":"a\r\nbcd","name":"  indented","enabled":true}]}`,
			stdout: `+-----+----------+---------+---------------------------+
| id  | name     | enabled | created                   |
+-----+----------+---------+---------------------------+
| z   | Z        | no      | 2026-01-02T03:04:05+00:00 |
| a   | indented | yes     |                           |
| bcd |          |         |                           |
+-----+----------+---------+---------------------------+
`,
		},
	}
}

// Both command lines make of every kind of reply what the contract says.
func TestCommandLineReplies(t *testing.T) {
	t.Parallel()
	for _, l := range tools(t) {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range append(append(failed(), poor()...), tables()...) {
				r := record(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					if c.status != 0 {
						w.WriteHeader(c.status)
					}
					_, _ = io.WriteString(w, c.reply)
				}))
				got := l.run(t, []string{"TRUSTGRAPH_URL=" + r.url}, "", words(c.run)...)
				c.check(t, got)
				if n := strings.Count(r.take(), "POST /api/v1/"); n != 1 {
					t.Errorf("%s made %d requests", c.run, n)
				}
			}
		})
	}
}

func (c canned) check(t *testing.T, got outcome) {
	t.Helper()
	if got.exit != c.exit || got.stdout != c.stdout || c.binds.of(got.stderr, c.stderr) != c.stderr {
		t.Errorf("%s, answered %s:\n%+v\nwant\n%+v", c.run, c.reply, got, outcome{c.stdout, c.stderr, c.exit})
	}
}
