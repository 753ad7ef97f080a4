#!/usr/bin/env bash
# A session with every command of tg, as an operator's script would have it: our
# additions, terminals, files of secrets, certificates, and what was installed.
# What TrustGraph's own command line does too is in tg_session_test.go.
#
# tg_script_test.go runs it in an empty directory, without a terminal. It finds:
#   PREFIX      where `make install` put things
#   GATEWAY     a gateway whose IAM service nobody has bootstrapped
#   TLS         the same behind TLS, which wants a client certificate;
#               CACERT, CERT and KEY are the files for it
#   PYTHON, ON_TTY   an interpreter, and the script on_tty.py
set -uo pipefail

tg=$PREFIX/bin/tg
failures=0

# fail WHAT...: notes a failure of the line of the script that was being tried.
fail() {
  local i
  for ((i = 1; i < ${#FUNCNAME[@]}; i++)); do
    case ${FUNCNAME[i]} in try | is | has | lacks | json | refused | misused | fail) ;; *) break ;; esac
  done
  printf '%s: line %s: %s\n' "${style:-}" "${BASH_LINENO[i - 1]}" "$*"
  failures=$((failures + 1))
}

# try CODE COMMAND...: runs it. $out, $err and $code are what came of it.
try() {
  local want=$1
  shift
  out=$("$@" 2>stderr)
  code=$?
  err=$(<stderr)
  [ "$code" = "$want" ] || fail "$* ended with $code, not $want: $out / $err"
}

# is WHAT TEXT; has WHAT TEXT...; lacks WHAT TEXT: about a text.
is() { [ "$1" = "$2" ] || fail "it is \"$1\", not \"$2\""; }
has() {
  local text=$1 part
  shift
  for part; do case $text in *"$part"*) ;; *) fail "\"$text\" lacks \"$part\"" ;; esac; done
}
lacks() { case $1 in *"$2"*) fail "\"$1\" has \"$2\"" ;; esac; }

# json EXPRESSION: whether a Python expression about $out, as d, is true.
json() {
  "$PYTHON" -c 'import json, sys; d = json.loads(sys.argv[1]); sys.exit(not eval(sys.argv[2]))' "$out" "$1" 2>&1 ||
    fail "not so: $1, of $out"
}

# refused TEXT COMMAND...: ends with an exception of that text, and says nothing else.
refused() {
  local text=$1
  shift
  try 1 "$@"
  is "$out" ""
  is "$err" "Exception: $text"
}

# misused TEXT run COMMAND...: is a usage error that ends so.
misused() {
  local text=$1 prog="tg $3"
  [ "$style" = link ] && prog=tg-$3
  shift
  try 2 "$@"
  is "$out" ""
  has "$err" "usage: $prog " "$prog: error: $text"
}

# run COMMAND...: a command of tg in the style of this pass.
run() {
  local command=$1
  shift
  if [ "$style" = link ]; then
    "$PREFIX/bin/tg-$command" "$@"
  else
    "$tg" "$command" "$@"
  fi
}

# on_tty [PROMPT ANSWER]... -- COMMAND...: run on a terminal. shown.text is what that showed.
on_tty() {
  local dialogue=() status
  while [ "$1" != -- ]; do dialogue+=("$1") && shift; done
  local command=("$tg" "$2")
  [ "$style" = link ] && command=("$PREFIX/bin/tg-$2")
  shift 2
  timeout 60 "$PYTHON" "$ON_TTY" shown "${dialogue[@]}" -- "${command[@]}" "$@"
  status=$?
  tr -d '\r' <shown >shown.text
  return "$status"
}

unset "${!TRUSTGRAPH_@}"
export TRUSTGRAPH_URL=$GATEWAY

# --- the parts of a session ----------------------------------------------------

bootstrap() {
  if [ ! -e token ]; then
    try 0 run bootstrap-iam --json
    json 'list(d) == ["bootstrap_admin_user_id", "bootstrap_admin_api_key"] and d["bootstrap_admin_api_key"].startswith("tg_")'
    "$PYTHON" -c 'import json, sys; print(json.loads(sys.argv[1])["bootstrap_admin_api_key"])' "$out" >token
  fi
  refused 'HTTP 401: {"error": "auth failure"}' run bootstrap-iam
  refused 'HTTP 401: {"error": "auth failure"}' run bootstrap-iam --json
}

# A token comes from the flag, a file, or the environment, and none of them is printed.
tokens() {
  refused "HTTP 401: auth failure" run whoami
  try 0 run whoami --token-file token
  try 0 run whoami -t "$(<token)"
  TRUSTGRAPH_TOKEN_FILE=token try 0 run whoami
  TRUSTGRAPH_TOKEN=$(<token) try 0 run whoami
  TRUSTGRAPH_TOKEN=tg_wrong try 0 run whoami --token-file token
  TRUSTGRAPH_TOKEN=tg_wrong TRUSTGRAPH_TOKEN_FILE=token try 1 run whoami
  TRUSTGRAPH_TOKEN_FILE=missing try 1 run whoami
  has "$err" "Exception: " missing
  try 1 run whoami --token-file missing
  TRUSTGRAPH_TOKEN=$(<token) try 2 run whoami --token-file ""
  printf '%s\n\n' "$(<token)" >padded
  try 0 run whoami --token-file padded
  try 1 run whoami -t $'tg_sec\nret'
  lacks "$err" ret
  export TRUSTGRAPH_TOKEN_FILE=$PWD/token
  try 0 run whoami --json
  json 'd["workspace"] == "default" and d["roles"] == ["admin"] and d["enabled"] is True'
}

workspaces() {
  try 0 run create-workspace --workspace-id "$w" --name "The $w"
  is "$out" "Workspace created: $w"
  refused "duplicate: workspace already exists" run create-workspace --workspace-id "$w"
  try 0 run create-workspace --workspace-id "$w-2" --json
  json "d['id'] == '$w-2' and d['enabled'] is True"
  try 0 run list-workspaces
  has "$out" "| id " "| $w " "| The $w "
  try 0 run list-workspaces --json
  json "[x['name'] for x in d if x['id'] == '$w'] == ['The $w']"
  try 0 run get-workspace --workspace-id "$w" --output json
  json "d['name'] == 'The $w'"
  try 0 run get-workspace --workspace-id "$w"
  has "$out" "The $w"
  refused "not-found: workspace not found" run get-workspace --workspace-id nowhere
  try 0 run disable-workspace --workspace-id "$w-2"
  try 0 run update-workspace --workspace-id "$w-2" --name "Still disabled"
  try 0 run get-workspace --workspace-id "$w-2" --json
  json "d['name'] == 'Still disabled' and d['enabled'] is False"
  try 0 run enable-workspace --workspace-id "$w-2"
  try 0 run get-workspace --workspace-id "$w-2" --json
  json "d['name'] == 'Still disabled' and d['enabled'] is True"
  refused "not-found: workspace not found" run disable-workspace --workspace-id nowhere
  refused "not-found: workspace not found" run enable-workspace --workspace-id nowhere
  refused "not-found: workspace not found" run update-workspace --workspace-id nowhere --name n
  misused "the following arguments are required: --workspace-id" run disable-workspace
}

# Passwords come from the flag, a file, standard input, or a prompt.
users() {
  try 0 run create-user -w "$w" --user ann --pass first --roles writer reader
  ann=$out
  is "$err" "User id: $ann
Username: ann
Roles: reader, writer"
  printf 'from a file\n' >password
  try 0 run create-user -w "$w" --username bob --password-file password --json
  json "d['username'] == 'bob' and d['workspace'] == '$w' and d['roles'] == ['reader']"
  try 0 run create-user -w "$w" --username carl --password-stdin <<<"from standard input"
  carl=$out
  try 1 run create-user -w "$w" --username nobody --password-file missing
  has "$err" "Exception: " missing
  try 2 run create-user -w "$w" --username nobody --password p --password-stdin <<<p
  misused "argument --roles: expected at least one argument" run create-user --username nobody --password p --roles
  try 0 run login --username bob -w "$w" --password-file password
  try 0 run login --username carl -w "$w" --password-stdin <<<"from standard input"
  try 0 run login --username carl -w "$w" <<<"from standard input"
  has "$err" "Password for carl: " "JWT expires: "
  try 0 run login --username carl -w "$w" --json --password-stdin <<<"from standard input"
  json 'list(d) == ["jwt", "jwt_expires"] and d["jwt"].count(".") == 2'

  try 0 run list-users -w "$w"
  has "$out" "| id " "| ann " "| reader, writer | yes "
  try 0 run list-users -w "$w" --json
  json 'sorted(u["username"] for u in d) == ["ann", "bob", "carl"]'
  try 0 run list-users -w "$w-2" --json
  json 'd == []'
  try 0 run get-user -w "$w" --user-id "$ann"
  has "$out" "id                    $ann" "username              ann" "roles                 reader, writer"
  try 0 run get-user -w "$w" --user-id "$ann" --json
  json "d['id'] == '$ann'"
  refused "not-found: user not found" run get-user -w "$w" --user-id nobody
  misused "the following arguments are required: --user-id" run get-user
}

# What is not given stays as it is (D12 of the contract).
updates() {
  try 0 run disable-user -w "$w" --user-id "$carl"
  is "$out" "Disabled user $carl"
  try 0 run update-user -w "$w" --user-id "$carl" --name "Carl C" --email c@example.com --roles writer reader
  has "$out" "id        : $carl" "roles     : reader, writer" "enabled   : no"
  try 0 run get-user -w "$w" --user-id "$carl" --json
  json 'd["name"] == "Carl C" and d["email"] == "c@example.com" and d["roles"] == ["reader", "writer"]'
  json 'd["enabled"] is False and d["must_change_password"] is False'
  try 0 run update-user -w "$w" --user-id "$carl" --enabled yes --must-change-password yes
  try 0 run update-user -w "$w" --user-id "$carl" --email d@example.com --json
  json 'd["email"] == "d@example.com" and d["enabled"] is True and d["must_change_password"] is True'
  try 2 run update-user --user-id "$carl" --enabled maybe
  is "$out" ""
  has "$err" "error: " --enabled maybe
  try 2 run update-user --user-id "$carl"
  is "$out" ""
  has "$err" "update-user: nothing to change — " must-change-password
  refused "not-found: user not found" run update-user -w "$w" --user-id nobody --name n
  try 0 run enable-user -w "$w" --user-id "$carl" --json
}

passwords() {
  try 0 run login --username ann --password first -w "$w"
  local jwt=$out
  printf 'second\n' >second
  try 0 run change-password -t "$jwt" --current first --new-file second
  is "$out" "Password changed."
  printf 'third' >third
  try 0 run change-password -t "$jwt" --current-file second --new-file third
  refused "HTTP 401: auth failure" run change-password -t "$jwt" --current-file second --new-file third
  try 0 run change-password -t "$jwt" <<<$'third\nfourth'
  is "$out" "Password changed."
  try 0 run login --username ann --password fourth -w "$w"
  try 0 run reset-password -w "$w" --user-id "$ann"
  try 0 run login --username ann --password="$out" -w "$w" # it may start with a dash
  try 0 run reset-password -w "$w" --user-id "$ann" --json
  json 'len(d["temporary_password"]) == 16'
}

keys() {
  try 0 run create-api-key -w "$w" --user-id "$ann" --name laptop --expires 2099-01-01
  local key=$out id
  id=$(sed -n 's/^Key id: //p' stderr)
  printf '%s\n' "$key" >ann.token
  refused "HTTP 403: access denied" run list-users --token-file ann.token
  try 0 run list-api-keys -w "$w" --user-id "$ann"
  has "$out" "| $id | laptop | ${key:0:7} |" "| 2099-01-01T00:00:00+00:00 |"
  try 0 run create-api-key -w "$w" --user-id "$ann" --name ci --json
  json 'd["api_key_plaintext"].startswith("tg_") and d["api_key"]["name"] == "ci" and d["api_key"]["expires"] == ""'
  try 0 run list-api-keys -w "$w" --user-id "$ann" --json
  json 'sorted(k["name"] for k in d) == ["ci", "laptop"]'
  try 1 run create-api-key -w "$w" --user-id "$ann" --name bad --expires never
  is "$out" ""
  try 0 run list-api-keys -w "$w" --user-id "$ann" --json
  json 'len(d) == 2'
  own_keys ann.token
  try 0 run revoke-api-key -w "$w" --key-id "$id"
  is "$out" "Revoked key $id"
  refused "not-found: api key not found" run revoke-api-key -w "$w" --key-id "$id"
}

# own_keys FILE: what anybody may do with the token in it.
own_keys() {
  try 0 run whoami --token-file "$1"
  has "$out" "$ann" "$w"
  try 0 run create-api-key --token-file "$1" --self --name mine
  local mine
  mine=$(sed -n 's/^Key id: //p' stderr)
  try 0 run list-api-keys --token-file "$1" --self
  has "$out" "| $mine | mine "
  try 0 run revoke-api-key --token-file "$1" --self --key-id "$mine"
  is "$out" "Revoked key $mine"
  try 2 run create-api-key --self --user-id "$ann" --name both
  misused "the following arguments are required: --user-id" run list-api-keys
  has "$err" "(--user-id ID | --self)"
}

deletions() {
  prompt="Delete user $carl?  This is irreversible. [type 'yes' to confirm]: "
  try 0 run delete-user -w "$w" --user-id "$carl" <<<YES
  is "$out" "${prompt}Aborted."
  try 1 run delete-user -w "$w" --user-id "$carl"
  is "$err" "Exception: EOF when reading a line"
  try 0 run delete-user -w "$w" --user-id "$carl" <<<" yes "
  is "$out" "${prompt}Deleted user $carl"
  refused "not-found: user not found" run delete-user -w "$w" --user-id "$carl" --yes
}

# A token of before the rotation counts still, and one of after it at once, in the
# second style too, whose rotation follows the first's.
signing_keys() {
  try 0 run login --username bob -w "$w" --password-file password
  local jwt=$out
  try 0 run rotate-signing-key
  is "$err" ""
  try 0 run whoami -t "$jwt"
  has "$out" bob
  try 0 run login --username bob -w "$w" --password-file password
  try 0 run whoami -t "$out"
  refused "HTTP 403: access denied" run rotate-signing-key --token-file ann.token
  try 0 run list-my-workspaces
  has "$out" "| default " "| $w "
  try 0 run list-my-workspaces --json
  json "'$w' in [x['id'] for x in d]"
}

# Prompts are on the terminal, without echo; new passwords are asked for twice.
terminals() {
  try 0 on_tty "Password for bob: " "from a file" -- login --username bob -w "$w"
  has "$out" eyJ
  [[ $err =~ ^JWT\ expires:\ [0-9T:.+-]+$ ]] || fail "it says \"$err\""
  is "$(<shown.text)" "Password for bob: "
  try 0 on_tty "Password for new user dan: " one "assword" one -- create-user -w "$w" --username dan
  lacks "$(<shown.text)" one
  try 1 on_tty "Password for new user eve: " one "assword" another -- create-user -w "$w" --username eve
  is "$out" ""
  try 0 run login --username dan --password one -w "$w"
  try 0 on_tty "Current password: " one "New password: " two "assword" two -- change-password -t "$out"
  is "$out" "Password changed."
  try 130 on_tty "Password for bob: " ^C -- login --username bob -w "$w"
  is "$out$err" ""
  STDOUT=terminal try 130 on_tty "confirm]: " ^C -- delete-user --user-id "$ann" -w "$w"
  is "$out$err" ""
  STDOUT=terminal try 0 on_tty "confirm]: " no -- delete-user --user-id "$ann" -w "$w"
  has "$(<shown.text)" "Delete user $ann? " "Aborted."
}

certificates() {
  local tls=(-u "$TLS" --cacert "$CACERT")
  try 0 run whoami "${tls[@]}" --cert "$CERT" --cert-key "$KEY"
  cat "$CERT" "$KEY" >both.pem
  try 0 run whoami "${tls[@]}" --cert both.pem
  REQUESTS_CA_BUNDLE=$CACERT try 0 run whoami -u "$TLS" --cert "$CERT" --cert-key "$KEY"
  try 1 run whoami "${tls[@]}"
  has "$err" "Exception: "
  try 1 run whoami -u "$TLS" --cert "$CERT" --cert-key "$KEY"
  has "$err" "Exception: " certificate
  try 1 run whoami "${tls[@]}" --cert missing --cert-key "$KEY"
  try 1 run whoami -u "$TLS" --cacert "$KEY"
  try 2 run whoami "${tls[@]}" --insecure
}

misuses() {
  misused "the following arguments are required: --username" run login
  misused "unrecognized arguments: extra" run list-users extra
  misused "unrecognized arguments: --nonsense" run whoami --nonsense
  misused "argument -t/--token: expected one argument" run whoami -t
  try 2 run list-users --output yaml
  try 2 run whoami --timeout never
  try 1 run whoami --timeout 1ns
  has "$err" "Exception: "
  TRUSTGRAPH_URL='http://%s%d/' try 0 run login --help
  has "$out" 'http://%s%d/' --username --password-stdin
}

# What belongs to tg as a whole.
whole() {
  try 0 "$tg" version
  [[ $out =~ ^tg\ [^\ ]+\ go1[^\ ]*\ [a-z0-9]+/[a-z0-9]+$ ]] || fail "it says \"$out\""
  try 0 "$tg" --help
  has "$out" login rotate-signing-key completion "--password=\"\$X\""
  try 2 "$tg" nonsense
  is "$out" ""
  has "$err" "usage: tg COMMAND [flags]" "tg --help"
  try 2 "$tg" help nonsense
  is "$out" ""
  try 0 "$tg"
  for shell in bash zsh fish; do
    try 0 "$tg" completion "$shell"
    has "$out" "$shell completion" " tg-rotate-signing-key"
  done
  "$tg" completion bash >completion.bash
  try 0 bash -c 'source ./completion.bash && complete -p tg tg-login'
  has "$out" " tg" " tg-login"
  try 0 "$tg" __complete list-
  has "$out" list-users list-workspaces
  try 0 "$tg" __complete login --pass
  has "$out" --password-stdin
  try 0 "$PREFIX/bin/tg-login" __complete --pass
  has "$out" --password-stdin
  mkdir pages
  try 0 "$tg" man pages
  diff -r pages "$PREFIX/share/man/man1" || fail "the manual differs from what is installed"
}

# Every command has a link beside tg that moves with it, and a page in the manual.
installation() {
  local link
  for command in bootstrap-iam login change-password create-user list-users disable-user enable-user delete-user \
    reset-password create-api-key list-api-keys revoke-api-key create-workspace list-workspaces \
    whoami get-user update-user get-workspace update-workspace disable-workspace enable-workspace \
    rotate-signing-key list-my-workspaces; do
    link=$(readlink "$PREFIX/bin/tg-$command")
    is "$link" tg
    try 0 "$PREFIX/bin/tg-$command" --help
    out=$(sed 's/\\-/-/g' "$PREFIX/share/man/man1/tg-$command.1")
    has "$out" '.TH "TG' "tg $command" "tg-$command" api-url "BEYOND TRUSTGRAPH'S OWN TOOL" "SEE ALSO"
  done
  has "$(sed 's/\\-/-/g' "$PREFIX/share/man/man1/tg.1")" '.TH "TG" 1 "" Sluice' "tg-bootstrap-iam (1)"
}

for style in subcommand link; do
  unset TRUSTGRAPH_TOKEN_FILE
  w=$style
  bootstrap
  tokens
  workspaces
  users
  updates
  passwords
  keys
  deletions
  terminals
  certificates
  misuses
  signing_keys
done
style=tg
whole
installation

printf '%s failures\n' "$failures"
[ "$failures" = 0 ]
