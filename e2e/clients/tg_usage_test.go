package clients

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// common are the commands that both command lines have, with the least they need.
var common = []string{
	"bootstrap-iam", "login --username u --password p", "change-password --current c --new n",
	"create-user --username u --password p", "list-users", "disable-user --user-id u", "enable-user --user-id u",
	"delete-user --user-id u --yes", "reset-password --user-id u", "create-api-key --user-id u --name n",
	"list-api-keys --user-id u", "revoke-api-key --key-id k", "create-workspace --workspace-id w", "list-workspaces",
	"whoami", "update-user --user-id u --name n",
}

// misuse are command lines that are not understood, and the last word about them.
var misuse = [][2]string{
	{"login", "the following arguments are required: --username"},
	{"create-user --roles a b", "the following arguments are required: --username"},
	{"create-api-key", "the following arguments are required: --user-id, --name"},
	{"create-api-key --name n", "the following arguments are required: --user-id"},
	{"list-api-keys -w acme", "the following arguments are required: --user-id"},
	{"revoke-api-key", "the following arguments are required: --key-id"},
	{"create-workspace --name n", "the following arguments are required: --workspace-id"},
	{"create-user --username u --roles", "argument --roles: expected at least one argument"},
	{"create-user --roles --username u", "argument --roles: expected at least one argument"},
	{"list-users -t", "argument -t/--token: expected one argument"},
	{"list-users -t -x", "argument -t/--token: expected one argument"},
	{"list-users --token --workspace w", "argument -t/--token: expected one argument"},
	{"login --username", "argument --username: expected one argument"},
	{"delete-user --user-id u --yes=1", "argument --yes: ignored explicit argument '1'"},
	{"list-users extra", "unrecognized arguments: extra"},
	{"list-users --nonsense x", "unrecognized arguments: --nonsense x"},
	{"list-users -x", "unrecognized arguments: -x"},
	{"bootstrap-iam -t x", "unrecognized arguments: -t x"},
	{"login --username u --token x", "unrecognized arguments: --token x"},
	{"change-password -w acme", "unrecognized arguments: -w acme"},
	{"list-workspaces -w acme", "unrecognized arguments: -w acme"},
	{"whoami -w acme", "unrecognized arguments: -w acme"},
	{"whoami extra", "unrecognized arguments: extra"},
	{"update-user", "the following arguments are required: --user-id"},
	{"update-user --name n", "the following arguments are required: --user-id"},
	{"update-user --user-id u --roles", "argument --roles: expected at least one argument"},
	{"update-user --user-id u --enabled", "argument --enabled: expected one argument"},
	{"update-user --user-id u --enabled=", "argument --enabled: expected yes/no, got ''"},
	{"update-user --user-id u --must maybe", "argument --must-change-password: expected yes/no, got 'maybe'"},
	{"update-user --enabled ~ON~ --nonsense", "argument --enabled: expected yes/no, got 'on'"},
	{"update-user --user-id u --e yes", "ambiguous option: --e could match --email, --enabled"},
	{"update-user --user-id u --username v --name n", "unrecognized arguments: --username v"},
}

// idle are updates that change nothing, which is a usage error without the usage.
var idle = []string{"update-user --user-id u", "update-user --user-id u -w acme -t x"}

// What is not understood sends nothing and is a usage error; help is none.
func TestCommandLineUsage(t *testing.T) {
	t.Parallel()
	for _, l := range tools(t) {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			r := record(t, http.NotFoundHandler())
			env := []string{"TRUSTGRAPH_URL=" + r.url}
			for _, m := range misuse {
				got := l.run(t, env, "", words(m[0])...)
				prog, _, _ := strings.Cut(m[0], " ")
				last := "tg-" + prog + ": error: " + m[1] + "\n"
				if got.exit != 2 || got.stdout != "" || lastLine.of(got.stderr, "") != last || !strings.HasPrefix(got.stderr, "usage: tg-"+prog+" ") {
					t.Errorf("%s: %+v, want %s", m[0], got, last)
				}
			}
			for _, c := range idle {
				const text = "tg-update-user: nothing to change — supply at least one of --name / --email / --roles / --enabled / --must-change-password\n"
				if got := l.run(t, env, "", words(c)...); got != (outcome{stderr: text, exit: 2}) {
					t.Errorf("%s: %+v", c, got)
				}
			}
			for _, c := range common {
				prog, _, _ := strings.Cut(c, " ")
				for _, flag := range []string{"-h", "--help", "--he"} {
					if got := l.run(t, env, "", prog, flag); got.exit != 0 || !strings.Contains(got.stdout, "--api-url") || got.stderr != "" {
						t.Errorf("%s %s: %+v", prog, flag, got)
					}
				}
			}
			if got := r.take(); got != "" {
				t.Errorf("requests: %s", got)
			}
		})
	}
}

// Arguments that look odd and are understood.
func TestCommandLineArguments(t *testing.T) {
	t.Parallel()
	rows := []struct {
		run  string
		want *call
	}{
		{"list-users -t -", iam("-", `{"operation":"list-users"}`)},
		{"list-users -t -1", iam("-1", `{"operation":"list-users"}`)},
		{"list-users -t -.5", iam("-.5", `{"operation":"list-users"}`)},
		{"list-users -tx -wy", iam("x", `{"operation":"list-users","workspace":"y"}`)},
		{"list-users -t=x", iam("x", `{"operation":"list-users"}`)},
		{"list-users --tok x --work=", iam("x", `{"operation":"list-users"}`)},
		{"list-users --t= --w=-y", iam("", `{"operation":"list-users","workspace":"-y"}`)},
		{"list-users -w -a~b", iam("", `{"operation":"list-users","workspace":"-a b"}`)},
		{"list-users -w a -w b --workspace c", iam("", `{"operation":"list-users","workspace":"c"}`)},
		{"disable-user --u=a=b", iam("", `{"operation":"disable-user","user_id":"a=b"}`)},
		{"disable-user --user-id=", iam("", `{"operation":"disable-user","user_id":""}`)},
		{"create-user --us u --pass p --r a,b c --e=e --n n --m", iam("", `{"operation":"create-user","user":{"username":"u","password":"p","roles":["a,b","c"],"name":"n","email":"e","must_change_password":true}}`)},
		{"create-user --roles=a --username u --password p", iam("", `{"operation":"create-user","user":{"username":"u","password":"p","roles":["a"]}}`)},
		{"create-user --username u --password p --roles a~b -1", iam("", `{"operation":"create-user","user":{"username":"u","password":"p","roles":["a b","-1"]}}`)},
		{"create-user --username <&>\u2028\U0001f600 --password \x01\"\\\x7f", iam("", `{"operation":"create-user","user":{"username":"\u003c\u0026\u003e\u2028😀","password":"\u0001\"\\`+"\x7f"+`","roles":["reader"]}}`)},
		{"create-api-key --us u --na n --exp 2099-W01", iam("", `{"operation":"create-api-key","key":{"user_id":"u","name":"n","expires":"2099-W01"}}`)},
		{"delete-user --user u --y", iam("", `{"operation":"delete-user","user_id":"u"}`)},
		{"change-password --cur a --ne b", auth("change-password", "", `{"current_password":"a","new_password":"b"}`)},
		{"whoami --tok x", iam("x", `{"operation":"whoami"}`)},
		{"update-user --us u --na n -w acme", iam("", `{"operation":"update-user","user_id":"u","user":{"name":"n"},"workspace":"acme"}`)},
		{"update-user --m ~Yes~ --ena 0 --r a,b c --em e --na n --user-id u", iam("", `{"operation":"update-user","user_id":"u","user":{"name":"n","email":"e","roles":["a,b","c"],"enabled":false,"must_change_password":true}}`)},
		{"update-user --user-id u --enabled no --enabled T", iam("", `{"operation":"update-user","user_id":"u","user":{"enabled":true}}`)},
		{"update-user --user-id u --must-change-password f", iam("", `{"operation":"update-user","user_id":"u","user":{"must_change_password":false}}`)},
		{"update-user --user-id= --name= --email= --roles=", iam("", `{"operation":"update-user","user_id":"","user":{"name":"","email":"","roles":[""]}}`)},
		{"login --u u --p p", auth("login", "", `{"username":"u","password":"p"}`)},
	}
	for _, l := range tools(t) {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			r := record(t, empty())
			for _, row := range rows {
				got := l.run(t, []string{"TRUSTGRAPH_URL=" + r.url + "//"}, "", words(row.run)...)
				if sent := l.asks(r.take()); sent != row.want.String() {
					t.Errorf("%s sends\n%s\nwant\n%s\n%+v", row.run, sent, row.want, got)
				}
			}
		})
	}
}

// empty answers every request with an empty object.
func empty() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })
}
