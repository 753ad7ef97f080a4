package main

import (
	"bufio"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// nowhere is an app whose environment is empty.
func nowhere() *app { return &app{lookup: func(string) (string, bool) { return "", false }} }

// TestArgumentsAsArgparse compares with what Python's argparse made of the same
// arguments, error texts included (testdata/golden.py).
func TestArgumentsAsArgparse(t *testing.T) {
	f, err := os.Open("testdata/argparse.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for lines := bufio.NewScanner(f); lines.Scan(); n++ {
		var want struct {
			Args   []string
			Values map[string][]string
			Error  string
			Help   bool
		}
		if err := json.Unmarshal(lines.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		flags := newCreateUser(nowhere()).Flags()
		got, err := parseArgs(flags, want.Args)
		switch {
		case want.Error != "":
			if err == nil || err.Error() != want.Error {
				t.Errorf("%q: %v, want %s", want.Args, err, want.Error)
			}
		case err != nil:
			t.Errorf("%q: %v, want %v", want.Args, err, want.Values)
		case want.Help:
			if !reflect.DeepEqual(got, []string{"--help"}) {
				t.Errorf("%q: %q, want help", want.Args, got)
			}
		case !reflect.DeepEqual(valuesOf(got), want.Values):
			t.Errorf("%q: %q, want %v", want.Args, got, want.Values)
		}
	}
	if n < 500 {
		t.Fatalf("only %d cases", n)
	}
}

func valuesOf(canonical []string) map[string][]string {
	values := map[string][]string{}
	for _, arg := range canonical {
		name, value, bound := strings.Cut(arg[2:], "=")
		if !bound {
			value = "true"
		}
		values[name] = append(values[name], value)
	}
	return values
}

// TestUsageErrors: usage and the error on standard error, nothing is sent.
func TestUsageErrors(t *testing.T) {
	for line, want := range map[string]string{
		"tg-login":             "the following arguments are required: --username",
		"tg-create-api-key":    "the following arguments are required: --user-id, --name",
		"tg-delete-user --yes": "the following arguments are required: --user-id",
		"tg-disable-user":      "the following arguments are required: --user-id",
		"tg-enable-user":       "the following arguments are required: --user-id",
		"tg-reset-password":    "the following arguments are required: --user-id",
		"tg-list-api-keys":     "the following arguments are required: --user-id",
		"tg-revoke-api-key":    "the following arguments are required: --key-id",
		"tg-create-workspace":  "the following arguments are required: --workspace-id",
		"tg-create-user":       "the following arguments are required: --username",

		"tg-bootstrap-iam -t x":                    "unrecognized arguments: -t x",
		"tg-login --username u --token x":          "unrecognized arguments: --token x",
		"tg-list-workspaces -w x":                  "unrecognized arguments: -w x",
		"tg-list-workspaces --nope=1":              "unrecognized arguments: --nope=1",
		"tg-list-users extra":                      "unrecognized arguments: extra",
		"tg-create-user --username u --roles":      "argument --roles: expected at least one argument",
		"tg-list-users -u":                         "argument -u/--api-url: expected one argument",
		"tg-list-users --workspace --token":        "argument -w/--workspace: expected one argument",
		"tg-delete-user --user-id u --yes=1":       "argument --yes: ignored explicit argument '1'",
		"tg-login --username u --password-":        "ambiguous option: --password- could match --password-file, --password-stdin",
		"tg-list-users --timeout soon":             `argument --timeout: give seconds (130) or a time with a unit (2m)`,
		"tg-list-users --token-file ''":            "argument --token-file: expected the name of a file",
		"tg-login --username u --password-file=":   "argument --password-file: expected the name of a file",
		"tg-list-users --cacert=":                  "argument --cacert: expected the name of a file",
		"tg-list-users --cert-key k":               "argument --cert-key: not allowed without --cert",
		"tg-list-users --timeout 18446744074":      `argument --timeout: give seconds (130) or a time with a unit (2m)`,
		"tg-list-users --timeout -1":               `argument --timeout: give seconds (130) or a time with a unit (2m)`,
		"tg-list-users --output yaml":              `argument --output: choose from text, json`,
		"tg-update-user --enabled ~ON":             "argument --enabled: expected yes/no, got 'on'",
		"tg-update-user --user-id u --must ''":     "argument --must-change-password: expected yes/no, got ''",
		"tg-update-workspace --enabled 2":          "argument --enabled: expected yes/no, got '2'",
		"tg-list-users -t x --token-file y":        "if any flags in the group [token token-file] are set none of the others can be; [token token-file] were all set",
		"tg-list-api-keys --user-id u --self":      "if any flags in the group [user-id self] are set none of the others can be; [self user-id] were all set",
		"tg-change-password --new-f x --new y":     "if any flags in the group [new new-file password-stdin] are set none of the others can be; [new new-file] were all set",
		"tg-login --user u --pass x --password-st": "if any flags in the group [password password-file password-stdin] are set none of the others can be; [password password-stdin] were all set",
	} {
		for _, words := range spellings(line) {
			s := newStub(t, ok(`{}`))
			got := at(s).calls(words...)
			prog := words[0]
			if prog == "tg" {
				prog += " " + words[1]
			}
			if got.code != exitUsage || got.out != "" || s.count() != 0 ||
				!strings.HasPrefix(got.err, "usage: "+prog) || !strings.HasSuffix(got.err, "\n"+prog+": error: "+want+"\n") {
				t.Errorf("%q: %+v, want %s", words, got, want)
			}
		}
	}
}

// An update that would change nothing is a usage error of one line.
func TestNothingToChange(t *testing.T) {
	for line, flags := range map[string]string{
		"tg-update-user --user-id u":                       "--name / --email / --roles / --enabled / --must-change-password",
		"tg-update-user --user-id u -w acme --json":        "--name / --email / --roles / --enabled / --must-change-password",
		"tg-update-workspace --workspace-id w -t tg_token": "--name / --enabled",
	} {
		for _, words := range spellings(line) {
			s := newStub(t, ok(`{}`))
			prog, _, _ := strings.Cut(strings.Join(words, " "), " --")
			want := outcome{"", prog + ": nothing to change — supply at least one of " + flags + "\n", exitUsage}
			if got := at(s).calls(words...); got != want || s.count() != 0 {
				t.Errorf("%q: %+v, want %+v", words, got, want)
			}
		}
	}
}

// TrustGraph's update-user sends an empty name and prints the user, who keeps theirs;
// our own update-workspace says that it is not understood.
func TestNoEmptyNames(t *testing.T) {
	for _, line := range []string{"tg-update-workspace --workspace-id w --name=", "tg-update-workspace --workspace-id w --name= --enabled no"} {
		s := newStub(t, ok(`{}`))
		want := outcome{"", "tg-update-workspace: a name cannot be emptied\n", exitUsage}
		if got := at(s).calls(words(line)...); got != want || s.count() != 0 {
			t.Errorf("%s: %+v, want %+v", line, got, want)
		}
	}
}

func TestUnknownCommands(t *testing.T) {
	for line, want := range map[string]string{
		"tg nonsense":        `unknown command "nonsense": tg --help lists them all`,
		"tg list-user":       `unknown command "list-user": did you mean list-users?`,
		"tg help nonsense":   `unknown command "nonsense": tg --help lists them all`,
		"tg help loging":     `unknown command "loging": did you mean login?`,
		"tg --nonsense":      "",
		"tg man":             "",
		"tg completion tcsh": "",
		"tg-nonsense x":      `unknown command "x": tg --help lists them all`,
	} {
		got := (&user{}).calls(words(line)...)
		if got.code != exitUsage || got.out != "" || !strings.Contains(got.err, ": error: "+want) {
			t.Errorf("%s: %+v", line, got)
		}
	}
}

// A flag of ours never changes what a script's arguments mean: it is not what
// TrustGraph's flags can be shortened to, nor does it make them ambiguous.
func TestOurFlagsLeavePrefixesAlone(t *testing.T) {
	for _, cmd := range nowhere().commands() {
		flags := cmd.Flags()
		flags.VisitAll(func(f *pflag.Flag) {
			if isAdditional(f) {
				if w, err := classifyOne(flags, "--"+f.Name); err != nil || w.flag != f {
					t.Errorf("%s: --%s cannot be given: it means %v, %v", cmd.Name(), f.Name, w.flag, err)
				}
				return
			}
			for i := 1; i <= len(f.Name); i++ {
				prefix := f.Name[:i]
				theirs := matching(flags, prefix, false)
				w, err := classifyOne(flags, "--"+prefix)
				if len(theirs) == 1 && (err != nil || w.flag != f) {
					t.Errorf("%s: --%s means %+v, %v", cmd.Name(), prefix, w.flag, err)
				}
			}
		})
	}
}

func FuzzParseArgs(f *testing.F) {
	f.Add("--username\x00bob\x00--roles\x00a\x00b\x00--pass=x\x00-uU")
	f.Add("-huX\x00--\x00--roles\x00-1\x00-a b\x00-")
	f.Add("--u\x00--=\x00-\xff\x00-h\x00--must=")
	f.Fuzz(func(t *testing.T, joined string) {
		args := strings.Split(joined, "\x00")
		flags := newCreateUser(nowhere()).Flags()
		canonical, err := parseArgs(flags, args)
		if err != nil || len(canonical) == 1 && canonical[0] == "--help" {
			return
		}
		values := valuesOf(canonical)
		if len(values["username"]) != 1 {
			t.Fatalf("%q: %q lacks a user name", args, canonical)
		}
		// What it says to have understood it understands the same way again; but
		// the words of --roles stand in arguments of their own there.
		if again, err := parseArgs(flags, canonical); len(values["roles"]) < 2 && (err != nil || !reflect.DeepEqual(again, canonical)) {
			t.Fatalf("%q: %q, then %q, %v", args, canonical, again, err)
		}
		if err := flags.Parse(canonical); err != nil {
			t.Fatalf("pflag refuses %q: %v", canonical, err)
		}
	})
}
