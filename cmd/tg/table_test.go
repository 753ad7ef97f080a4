package main

import (
	"strings"
	"testing"
)

// TestTables is section 4 of the contract.
func TestTables(t *testing.T) {
	for _, row := range []struct{ line, reply, want string }{
		{"tg-list-api-keys --user-id u", `{"api_keys":[{"id":"k","name":"n","prefix":"tg_abcd","created":"c","last_used":"","expires":""}]}`, `
+----+------+---------+---------+-----------+---------+
| id | name | prefix  | created | last used | expires |
+----+------+---------+---------+-----------+---------+
| k  | n    | tg_abcd | c       | —         | never   |
+----+------+---------+---------+-----------+---------+
`},
		{"tg-list-api-keys --user-id u", `{"api_keys":[{"id":null,"last_used":"L","expires":null},{"name":"01.50","expires":"E"}]}`, `
+----+-------+--------+---------+-----------+---------+
| id | name  | prefix | created | last used | expires |
+----+-------+--------+---------+-----------+---------+
|    |       |        |         | L         | never   |
|    | 01.50 |        |         | —         | E       |
+----+-------+--------+---------+-----------+---------+
`},
		{"tg-list-users", `{"users":[
			{"id":"2","username":"bob","name":"Bób","email":"hidden","roles":["writer","reader"],"enabled":true,"must_change_password":false},
			{"id":"1","username":"eve","name":null,"roles":[],"enabled":false,"must_change_password":true},
			{"id":"日本","roles":["a"]}]}`, `
+----+----------+------+----------------+---------+-----------+
| id | username | name | roles          | enabled | change-pw |
+----+----------+------+----------------+---------+-----------+
| 2  | bob      | Bób  | writer, reader | yes     | no        |
| 1  | eve      |      |                | no      | yes       |
| 日本 |          |      | a              | no      | no        |
+----+----------+------+----------------+---------+-----------+
`},
		{"tg-list-workspaces", `{"workspaces":[{"id":"w","name":"1e5","enabled":true,"created":"c"}]}`, `
+----+------+---------+---------+
| id | name | enabled | created |
+----+------+---------+---------+
| w  | 1e5  | yes     | c       |
+----+------+---------+---------+
`},
		{"tg-list-my-workspaces", `{"workspaces":[{"id":" a \r\nlong line\n","name":"  ","enabled":true}]}`, `
+-----------+------+---------+---------+
| id        | name | enabled | created |
+-----------+------+---------+---------+
| a         |      | yes     |         |
| long line |      |         |         |
+-----------+------+---------+---------+
`},
		{"tg-list-my-workspaces", `{"workspaces":[{"id":"a\rb","name":" x  \n  y  \n\n"}]}`, `
+----+------+---------+---------+
| id | name | enabled | created |
+----+------+---------+---------+
| a  | x    | no      |         |
| b  |   y  |         |         |
+----+------+---------+---------+
`},
	} {
		got := at(newStub(t, ok(row.reply))).calls(words(row.line)...)
		if want := strings.TrimPrefix(row.want, "\n"); got != (outcome{want, "", exitOK}) {
			t.Errorf("%s:\n%s%s", row.line, got.out, got.err)
		}
	}
}

// TestFields: one record is a label and a value a line, as TrustGraph's tg-whoami
// prints them, all of its fields or those that a gateway knows without IAM.
func TestFields(t *testing.T) {
	const whole = `{"user":{"id":"U","username":"bob","name":" B\n\n  ob ","email":"e","workspace":"acme",` +
		`"roles":["reader","admin"],"enabled":true,"must_change_password":true,"created":"c"}}`
	const fields = `
id                    U
username              bob
name                  B

                        ob
email                 e
workspace             acme
roles                 reader, admin
enabled               yes
must change password  yes
created               c
`
	for _, row := range []struct{ line, reply, want string }{
		{"tg-whoami", whole, fields},
		{"tg-get-user --user-id u", whole, fields},
		{"tg-whoami", `{"user":{"id":"U","workspace":"acme","roles":[],"enabled":false}}`, `
id                    U
username
name
email
workspace             acme
roles
enabled               no
must change password  no
created
`},
		{"tg-get-workspace --workspace-id w", `{"workspace":{"id":"w","name":"W","enabled":false}}`, `
id       w
name     W
enabled  no
created
`},
		{"tg-whoami", `{}`, "(no user record returned)\n"},
		{"tg-whoami", `{"user":null}`, "(no user record returned)\n"},
		{"tg-get-user --user-id u", `{"user":{}}`, "(no user record returned)\n"},
		{"tg-get-workspace --workspace-id w", `{}`, "(no workspace record returned)\n"},
	} {
		got := at(newStub(t, ok(row.reply))).calls(words(row.line)...)
		if want := strings.TrimPrefix(row.want, "\n"); got != (outcome{want, "", exitOK}) {
			t.Errorf("%s:\n%s%s", row.line, got.out, got.err)
		}
	}
}
