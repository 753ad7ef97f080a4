package clients

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sluice/bus/amqp/brokertest"
)

// step is one command of a session and what the contract (cli.md) says of it.
// $NAMES stand for what earlier steps kept.
type step struct {
	run   []string // the command without tg-, and its arguments
	token string   // TRUSTGRAPH_TOKEN
	stdin string

	sends          *call // nil: nothing
	stdout, stderr string
	exit           int

	keep string // the name for the line on stdout
	id   string // the name for the id on stderr
	// What of stderr binds, where not all of it does: its start, its end (a usage
	// error's last line), or all but warnings about the echo of passwords.
	binds part
}

type part string

const (
	all       part = ""
	beginning part = "start"
	lastLine  part = "last line"
	unwarned  part = "without warnings"
)

var warning = regexp.MustCompile(`(?m)^.*Warning.*\n(?:  .*\n)?`)

// of returns the part of a text on stderr that is to be compared with want.
func (p part) of(stderr, want string) string {
	switch p {
	case beginning:
		return stderr[:min(len(stderr), len(want))]
	case lastLine:
		return stderr[strings.LastIndex(strings.TrimSuffix(stderr, "\n"), "\n")+1:]
	case unwarned:
		return warning.ReplaceAllString(stderr, "")
	}
	return stderr
}

// call is a request of a command: which route, whose, and the body.
type call struct{ route, token, body string }

func (c *call) String() string {
	if c == nil {
		return ""
	}
	who := "anonymous"
	if c.token != "" {
		who = "Bearer " + c.token
	}
	return fmt.Sprintf("POST /api/v1/%s application/json (%s) %s", c.route, who, c.body)
}

// words makes arguments of a line; "~" in a word stands for a blank.
func words(line string) []string {
	args := strings.Split(line, " ")
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "~", " ")
	}
	return args
}

var idLine = regexp.MustCompile(`(?m)^(?:Admin user|User|Key) id: (\S+)$`)

// line is one command of a transcript, masked.
type line struct {
	want     step
	got      outcome
	requests string
}

// play runs a session with one of the tools against a server behind a recorder.
func play(t *testing.T, l tool, r *recorder, m *memory, steps []step) []line {
	t.Helper()
	var transcript []line
	for _, s := range steps {
		args := slices.Clone(s.run)
		for i := range args {
			args[i] = m.expand(args[i])
		}
		env := []string{"TRUSTGRAPH_URL=" + r.url + "/", "TRUSTGRAPH_TOKEN=" + m.expand(s.token), "TRUSTGRAPH_WORKSPACE=nowhere"}
		o := l.run(t, env, s.stdin, args...)
		if s.keep != "" {
			m.keep(s.keep, strings.TrimSuffix(o.stdout, "\n"))
		}
		if found := idLine.FindStringSubmatch(o.stderr); s.id != "" && found != nil {
			m.keep(s.id, found[1])
		}
		transcript = append(transcript, line{s, outcome{m.mask(o.stdout), m.mask(o.stderr), o.exit}, m.mask(l.asks(r.take()))})
	}
	return transcript
}

// compare holds a transcript against the contract.
func compare(t *testing.T, transcript []line) {
	t.Helper()
	for _, l := range transcript {
		name := strings.Join(l.want.run, " ")
		if l.got.exit != l.want.exit {
			t.Errorf("%s: exit code %d, want %d", name, l.got.exit, l.want.exit)
		}
		if l.got.stdout != l.want.stdout {
			t.Errorf("%s: stdout\n%s\nwant\n%s", name, l.got.stdout, l.want.stdout)
		}
		if l.want.binds.of(l.got.stderr, l.want.stderr) != l.want.stderr {
			t.Errorf("%s: stderr\n%s\nwant\n%s", name, l.got.stderr, l.want.stderr)
		}
		if l.requests != l.want.sends.String() {
			t.Errorf("%s sends\n%s\nwant\n%s", name, l.requests, l.want.sends)
		}
	}
}

// table is a table as mask leaves it: rows of cells with one blank around each.
func table(rows ...string) string {
	columns := strings.Count(rows[0], "|") + 1
	rule := "+" + strings.Repeat("-+", columns) + "\n"
	text := rule + "| " + rows[0] + " |\n" + rule
	for _, r := range rows[1:] {
		text += "| " + r + " |\n"
	}
	return text + rule
}

// startIAM starts a gateway with an IAM service that nobody has bootstrapped.
func startIAM(t *testing.T, args ...string) (url string) {
	t.Helper()
	flows := filepath.Join(t.TempDir(), "flows.yaml")
	if err := os.WriteFile(flows, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	gateway := startProgram(t, installed(t)+"/bin/sluice", append([]string{
		"gateway", "--listen", "127.0.0.1", "--port", "0", "--no-metrics", "--amqp-url", brokertest.URL(t),
		"--topicspace", fmt.Sprintf("tg%d-%d", os.Getpid(), spaces.Add(1)),
		"--flows", flows, "--iam", "embedded", "--iam-store", "memory", "--bootstrap-mode", "bootstrap",
	}, args...)...)
	url = gateway.url(t)
	gateway.awaitReady(t, url)
	return url
}

// TrustGraph's command line does against our gateway what the contract says of it,
// and ours says and sends the same, line by line.
func TestCommandLineSession(t *testing.T) {
	t.Parallel()
	steps := slices.Concat(bootstrapSteps(), workspaceSteps(), userSteps(), loginSteps(), keySteps(), profileSteps(), farewellSteps())
	for _, l := range tools(t) {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			compare(t, play(t, l, record(t, forward(t, startIAM(t))), &memory{}, steps))
		})
	}
}
