package clients

import (
	"fmt"
	"strings"
)

// profileSteps change carol, and leave her as she was but for her names.
func profileSteps() []step {
	update := func(flags, user, stdout string) step {
		return step{
			run: words("update-user --user-id $CAROL " + flags), token: "$ADMIN", stdout: stdout,
			sends: iam("$ADMIN", `{"operation":"update-user","user_id":"$CAROL","user":`+user+`}`),
		}
	}
	const start, end = "id        : $CAROL\nusername  : carol\nname      : ", "\nworkspace : default\nroles     : "
	switching := func(verb, done string) step {
		return step{
			run: words(verb + " --user-id $CAROL"), token: "$ADMIN", stdout: done + " user $CAROL\n",
			sends: iam("$ADMIN", `{"operation":"`+verb+`","user_id":"$CAROL"}`),
		}
	}
	return []step{
		{
			run: words("whoami"), token: "$JWT", sends: iam("$JWT", `{"operation":"whoami"}`),
			stdout: person("$BOB", "bob", "bob", "", "acme", "reader", "yes", "no", "<instant>"),
		},
		refused(step{run: words("whoami"), sends: iam("", `{"operation":"whoami"}`)}, "HTTP 401: auth failure"),
		update("--email c@example.com --must YES", `{"email":"c@example.com","must_change_password":true}`,
			start+"carol\nemail     : c@example.com"+end+"reader\nenabled   : yes\nmust-change-pw: yes\n"),
		switching("disable-user", "Disabled"),
		update("--name Carol~C --roles writer reader", `{"name":"Carol C","roles":["writer","reader"]}`,
			start+"Carol C\nemail     : c@example.com"+end+"reader, writer\nenabled   : no\nmust-change-pw: yes\n"),
		update("--must no", `{"must_change_password":false}`,
			start+"Carol C\nemail     : c@example.com"+end+"reader, writer\nenabled   : no\nmust-change-pw: no\n"),
		update("--enabled 1 --name=", `{"name":"","enabled":true}`,
			start+"Carol C\nemail     : c@example.com"+end+"reader, writer\nenabled   : yes\nmust-change-pw: no\n"),
		refused(step{
			run: words("update-user --user-id nobody --name n"), token: "$ADMIN",
			sends: iam("$ADMIN", `{"operation":"update-user","user_id":"nobody","user":{"name":"n"}}`),
		}, "not-found: user not found"),
	}
}

// person is what whoami prints of a user.
func person(values ...string) string {
	var b strings.Builder
	for i, label := range []string{"id", "username", "name", "email", "workspace", "roles", "enabled", "must change password", "created"} {
		fmt.Fprintln(&b, strings.TrimRight(fmt.Sprintf("%-20s  %s", label, values[i]), " "))
	}
	return b.String()
}
