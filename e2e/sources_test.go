package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/bus/amqp/brokertest"
)

// Overrides of the system services' topics hold for everything that the gateway
// asks: flow definitions, credentials, and what clients ask.
func TestQueueOverridesApplyEverywhere(t *testing.T) {
	broker := brokertest.URL(t)
	p := startPlatform(t, broker)
	p.define(adminWorkspace, "demo", p.record("demo"))
	p.serve(t, p.topic("request", "text-completion", "demo"), p.topic("response", "text-completion", "demo"), echo)
	args := []string{"--part-timeout", "5s"}
	override := func(flag string, answer responder) {
		request, response := p.topic("request", "moved", flag), p.topic("response", "moved", flag)
		p.serve(t, request, response, answer)
		args = append(args, "--"+flag+"-request-queue", request, "--"+flag+"-response-queue", response)
	}
	override("config", p.answerConfig)
	override("iam", p.answerIAM)
	// In another topicspace nobody listens on the usual topics.
	for kind := range globalKinds {
		if kind != "config" && kind != "iam" {
			override(kind, (&stub{answer: finalResponse(t, kind).In}).respond)
		}
	}
	g := startGateway(t, broker, p.space+"-empty", args...)
	g.awaitReady(t)
	mustAnswer(t, g, "through the moved config and IAM services")
	for kind := range globalKinds {
		if kind == "config" || kind == "iam" {
			continue
		}
		r, err := g.post(t.Context(), "/api/v1/"+kind, vectors(t, kind, "request")[0].In)
		if err != nil {
			t.Fatal(err)
		}
		want, err := parse(finalResponse(t, kind).Out)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, kind, r.body, want)
	}
}

func finalResponse(t *testing.T, kind string) vector {
	t.Helper()
	for _, v := range vectors(t, kind, "response") {
		if v.Final {
			return v
		}
	}
	t.Fatalf("no final response of kind %s", kind)
	return vector{}
}

// A flows file takes the place of the config service, and its changes count.
func TestFlowsFileReplacesConfigService(t *testing.T) {
	broker := brokertest.URL(t)
	p := startPlatform(t, broker)
	silence := responder(func(string, []byte) ([]message, bool) {
		t.Error("the config service was asked")
		return nil, true
	})
	p.scripted[scriptConfig].Store(&silence)
	p.serve(t, p.topic("request", "text-completion", "demo"), p.topic("response", "text-completion", "demo"), echo)
	path := filepath.Join(t.TempDir(), "flows.yaml")
	text := fmt.Sprintf("default:\n  demo:\n    interfaces:\n      text-completion: {request: %q, response: %q}\n",
		p.topic("request", "text-completion", "demo"), p.topic("response", "text-completion", "demo"))
	writeFile(t, path, text)
	g := startGateway(t, broker, p.space, "--flows", path)
	g.awaitReady(t)
	mustAnswer(t, g, "from the file")
	writeFile(t, path, "default: {}\n")
	eventually(t, "the flow is gone", func() error {
		if err := g.try("gone?", time.Minute); err == nil || !strings.Contains(err.Error(), "Invalid flow") {
			return fmt.Errorf("a call got %w", err)
		}
		return nil
	})
	writeFile(t, path, "default: [broken\n")
	writeFile(t, path, text)
	eventually(t, "the flow is back", func() error { return g.try("back", time.Minute) })
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
