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
		{"tg-get-workspace --workspace-id w", `{"workspace":{"id":"w","name":"W","enabled":false}}`, `
+---------+-------+
| field   | value |
+---------+-------+
| id      | w     |
| name    | W     |
| enabled | no    |
+---------+-------+
`},
		{"tg-whoami", `{"user":{"id":"U","username":"bob","workspace":"acme","roles":["reader"],"enabled":true}}`, `
+-----------+--------+
| field     | value  |
+-----------+--------+
| id        | U      |
| username  | bob    |
| workspace | acme   |
| roles     | reader |
| enabled   | yes    |
| change-pw | no     |
+-----------+--------+
`},
	} {
		got := at(newStub(t, ok(row.reply))).calls(words(row.line)...)
		if want := strings.TrimPrefix(row.want, "\n"); got != (outcome{want, "", exitOK}) {
			t.Errorf("%s:\n%s%s", row.line, got.out, got.err)
		}
	}
}
