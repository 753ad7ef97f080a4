package clients

// The session that both command lines play against a fresh server of their own.
// Words of run are split at blanks; "~" is a blank within a word.

func iam(token, body string) *call { return &call{"iam", token, body} }

func auth(route, token, body string) *call { return &call{"auth/" + route, token, body} }

func refused(s step, text string) step {
	s.stderr, s.exit = "Exception: "+text+"\n", 1
	return s
}

// bootstrapSteps make the first administrator: $ADMIN is the key, $ROOT the id.
func bootstrapSteps() []step {
	return []step{
		refused(step{run: words("list-workspaces"), sends: iam("", `{"operation":"list-workspaces"}`)}, "HTTP 401: auth failure"),
		{
			run: words("bootstrap-iam"), token: "tg_ignored", sends: auth("bootstrap", "", `{}`), keep: "ADMIN", id: "ROOT",
			stdout: "$ADMIN\n", stderr: "Admin user id: $ROOT\nAdmin API key (shown once, capture now):\n",
		},
		refused(step{run: words("bootstrap-iam"), sends: auth("bootstrap", "", `{}`)}, `HTTP 401: {"error": "auth failure"}`),
	}
}

func workspaceSteps() []step {
	create := `{"operation":"create-workspace","workspace_record":{"id":"acme","enabled":true,"name":"Acme Corp"}}`
	return []step{
		{
			run: words("create-workspace --workspace-id acme --name Acme~Corp"), token: "$ADMIN", sends: iam("$ADMIN", create),
			stdout: "Workspace created: acme\n",
		},
		refused(step{run: words("create-workspace --w=acme --n=Acme~Corp"), token: "$ADMIN", sends: iam("$ADMIN", create)},
			"duplicate: workspace already exists"),
		refused(step{
			run: words("create-workspace --workspace-id=_a -t $ADMIN --name="), token: "tg_other",
			sends: iam("$ADMIN", `{"operation":"create-workspace","workspace_record":{"id":"_a","enabled":true}}`),
		}, "invalid-argument: workspace ids beginning with '_' are reserved"),
		{
			run: words("list-workspaces --token $ADMIN"), sends: iam("$ADMIN", `{"operation":"list-workspaces"}`),
			stdout: table("id | name | enabled | created", "acme | Acme Corp | yes | <instant>", "default | Default | yes | <instant>"),
		},
		{
			run: words("list-users -w acme"), token: "$ADMIN", sends: iam("$ADMIN", `{"operation":"list-users","workspace":"acme"}`),
			stdout: "No users.\n",
		},
	}
}

func userSteps() []step {
	return []step{
		{
			run: words("create-user --user bob --pass pw -wacme"), token: "$ADMIN", keep: "BOB", id: "BOBID",
			sends:  iam("$ADMIN", `{"operation":"create-user","user":{"username":"bob","password":"pw","roles":["reader"]},"workspace":"acme"}`),
			stdout: "$BOB\n", stderr: "User id: $BOB\nUsername: bob\nRoles: reader\n",
		},
		refused(step{
			run: words("create-user --username bob --password pw -w acme"), token: "$ADMIN",
			sends: iam("$ADMIN", `{"operation":"create-user","user":{"username":"bob","password":"pw","roles":["reader"]},"workspace":"acme"}`),
		}, "duplicate: username already exists"),
		{
			run:   words("create-user --roles writer admin --username zoë --password pä~ß😀 --must-change --email z@example.com --name Zoë~Ä -w x -w acme --roles writer reader"),
			token: "$ADMIN", keep: "ZOE",
			sends:  iam("$ADMIN", `{"operation":"create-user","user":{"username":"zoë","password":"pä ß😀","roles":["writer","reader"],"name":"Zoë Ä","email":"z@example.com","must_change_password":true},"workspace":"acme"}`),
			stdout: "$ZOE\n", stderr: "User id: $ZOE\nUsername: zoë\nRoles: reader, writer\n",
		},
		{
			run: words("create-user --username carol"), token: "$ADMIN", stdin: "from stdin\nnot read\n", keep: "CAROL", binds: unwarned,
			sends:  iam("$ADMIN", `{"operation":"create-user","user":{"username":"carol","password":"from stdin","roles":["reader"]}}`),
			stdout: "$CAROL\n", stderr: "Password for new user carol: \nUser id: $CAROL\nUsername: carol\nRoles: reader\n",
		},
		{
			run: words("create-user --username dave"), token: "$ADMIN", stdin: "\n", exit: 1, binds: unwarned,
			sends:  iam("$ADMIN", `{"operation":"create-user","user":{"username":"dave","password":"","roles":["reader"]}}`),
			stderr: "Password for new user dave: \nException: invalid-argument: user.password required\n",
		},
		{run: words("create-user --username dave --password="), exit: 1, binds: unwarned, stderr: "Password for new user dave: Exception: \n"},
		{
			run: words("list-users --workspace=acme"), token: "$ADMIN", sends: iam("$ADMIN", `{"operation":"list-users","workspace":"acme"}`),
			stdout: table("id | username | name | roles | enabled | change-pw", "$BOB | bob | bob | reader | yes | no", "$ZOE | zoë | Zoë Ä | reader, writer | yes | yes"),
		},
		refused(step{
			run: words("disable-user --user-id nobody"), token: "$ADMIN",
			sends: iam("$ADMIN", `{"operation":"disable-user","user_id":"nobody"}`),
		}, "not-found: user not found"),
		refused(step{
			run: words("enable-user --user-id $BOB"), token: "$ADMIN",
			sends: iam("$ADMIN", `{"operation":"enable-user","user_id":"$BOB"}`),
		}, "operation-not-permitted: user is in a different workspace"),
	}
}

// loginSteps leave bob with the password new.
func loginSteps() []step {
	return []step{
		{
			run: words("login --username bob --password pw -w acme"), token: "tg_ignored", keep: "JWT",
			sends:  auth("login", "", `{"username":"bob","password":"pw","workspace":"acme"}`),
			stdout: "$JWT\n", stderr: "JWT expires: <instant>\n",
		},
		refused(step{
			run: words("login --username=bob --password=pw"), sends: auth("login", "", `{"username":"bob","password":"pw"}`),
		}, "HTTP 401: auth failure"),
		{run: words("login --username bob"), exit: 1, binds: unwarned, stderr: "Password for bob: Exception: \n"},
		{
			run: words("change-password --current pw --new second"), token: "$JWT",
			sends:  auth("change-password", "$JWT", `{"current_password":"pw","new_password":"second"}`),
			stdout: "Password changed.\n",
		},
		{
			run: words("change-password"), token: "$JWT", stdin: "second\nnew\n", binds: unwarned,
			sends:  auth("change-password", "$JWT", `{"current_password":"second","new_password":"new"}`),
			stdout: "Password changed.\n", stderr: "Current password: \nNew password: \n",
		},
		refused(step{
			run: words("change-password --c wrong --n new"), token: "$JWT",
			sends: auth("change-password", "$JWT", `{"current_password":"wrong","new_password":"new"}`),
		}, "HTTP 401: auth failure"),
		{
			run: words("change-password --current new"), token: "$JWT", stdin: "\n", exit: 1, binds: unwarned,
			sends:  auth("change-password", "$JWT", `{"current_password":"new","new_password":""}`),
			stderr: "New password: \nException: HTTP 400: new_password required\n",
		},
		{
			run: words("login --username bob -w acme"), stdin: "new\n", keep: "JWT", binds: unwarned,
			sends:  auth("login", "", `{"username":"bob","password":"new","workspace":"acme"}`),
			stdout: "$JWT\n", stderr: "Password for bob: \nJWT expires: <instant>\n",
		},
	}
}

// keySteps leave bob without a key.
func keySteps() []step {
	return []step{
		{
			run: words("create-api-key -w acme --user-id $BOB --name laptop --expires 2099-01-01"), token: "$ADMIN", keep: "KEY", id: "KEYID",
			sends:  iam("$ADMIN", `{"operation":"create-api-key","key":{"user_id":"$BOB","name":"laptop","expires":"2099-01-01"},"workspace":"acme"}`),
			stdout: "$KEY\n", stderr: "Key id: $KEYID\nName: laptop\nPrefix: $PREFIX_KEY\nAPI key (shown once, capture now):\n",
		},
		refused(step{
			run: words("create-api-key --user-id $BOB --name=-dash --expires="), token: "$ADMIN",
			sends: iam("$ADMIN", `{"operation":"create-api-key","key":{"user_id":"$BOB","name":"-dash"}}`),
		}, "operation-not-permitted: target user is in a different workspace"),
		{
			run: words("list-api-keys -w acme --user-id $BOB"), token: "$ADMIN",
			sends:  iam("$ADMIN", `{"operation":"list-api-keys","user_id":"$BOB","workspace":"acme"}`),
			stdout: table("id | name | prefix | created | last used | expires", "$KEYID | laptop | $PREFIX_KEY | <instant> | — | 2099-01-01T00:00:00+00:00"),
		},
		refused(step{run: words("list-users"), token: "$KEY", sends: iam("$KEY", `{"operation":"list-users"}`)}, "HTTP 403: access denied"),
		{
			run: words("list-api-keys --user $CAROL"), token: "$ADMIN",
			sends:  iam("$ADMIN", `{"operation":"list-api-keys","user_id":"$CAROL"}`),
			stdout: "No keys.\n",
		},
		refused(step{
			run: words("list-api-keys --user-id nobody"), token: "$ADMIN",
			sends: iam("$ADMIN", `{"operation":"list-api-keys","user_id":"nobody"}`),
		}, "not-found: user not found in workspace"),
		{
			run: words("revoke-api-key -w acme --key-id $KEYID"), token: "$ADMIN",
			sends:  iam("$ADMIN", `{"operation":"revoke-api-key","key_id":"$KEYID","workspace":"acme"}`),
			stdout: "Revoked key $KEYID\n",
		},
		refused(step{
			run: words("revoke-api-key -w acme --key $KEYID"), token: "$ADMIN",
			sends: iam("$ADMIN", `{"operation":"revoke-api-key","key_id":"$KEYID","workspace":"acme"}`),
		}, "not-found: api key not found"),
	}
}

// farewellSteps reset, disable, enable and delete.
func farewellSteps() []step {
	const prompt = "Delete user $CAROL?  This is irreversible. [type 'yes' to confirm]: "
	remove := `{"operation":"delete-user","user_id":"$CAROL"}`
	return []step{
		{
			run: words("reset-password --user-id $CAROL"), token: "$ADMIN", keep: "TEMPORARY",
			sends:  iam("$ADMIN", `{"operation":"reset-password","user_id":"$CAROL"}`),
			stdout: "$TEMPORARY\n", stderr: "Temporary password (shown once, capture now):\n",
		},
		refused(step{
			run: words("reset-password --user-id nobody"), token: "$ADMIN",
			sends: iam("$ADMIN", `{"operation":"reset-password","user_id":"nobody"}`),
		}, "not-found: user not found"),
		{
			run: words("disable-user -w acme --user-id $BOB"), token: "$ADMIN",
			sends:  iam("$ADMIN", `{"operation":"disable-user","user_id":"$BOB","workspace":"acme"}`),
			stdout: "Disabled user $BOB\n",
		},
		{
			run: words("enable-user -w acme --user-id $BOB"), token: "$ADMIN",
			sends:  iam("$ADMIN", `{"operation":"enable-user","user_id":"$BOB","workspace":"acme"}`),
			stdout: "Enabled user $BOB\n",
		},
		{run: words("delete-user --user-id $CAROL"), token: "$ADMIN", stdin: "YES\n", stdout: prompt + "Aborted.\n"},
		{run: words("delete-user --user-id $CAROL"), token: "$ADMIN", stdin: "\n", stdout: prompt + "Aborted.\n"},
		refused(step{run: words("delete-user --user-id $CAROL"), token: "$ADMIN", stdout: prompt}, "EOF when reading a line"),
		{
			run: words("delete-user --user-id $CAROL"), token: "$ADMIN", stdin: " \tyes \n", sends: iam("$ADMIN", remove),
			stdout: prompt + "Deleted user $CAROL\n",
		},
		refused(step{run: words("delete-user --y --user-id $CAROL"), token: "$ADMIN", sends: iam("$ADMIN", remove)}, "not-found: user not found"),
	}
}
