// Command sluice-load sends one HTTP request over and over and prints rate and
// latency percentiles.
//
//	SLUICE_TOKEN=tg_… sluice-load --url http://127.0.0.1:8088/api/v1/flow/demo/service/text-completion \
//	    --body '{"system":"","prompt":"hello"}' --workers 64 --duration 10s
//
// With --rate it keeps to that many requests per second and counts time from
// when each was due. The token comes from the environment or a file, never from
// an argument.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"sluice/bench/load"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "sluice-load:", err)
		os.Exit(1)
	}
}

func run() error {
	var p load.Plan
	var body, bodyFile, tokenFile string
	pflag.StringVar(&p.URL, "url", "", "where to send (required)")
	pflag.StringVar(&p.Method, "method", "POST", "HTTP method")
	pflag.StringVar(&body, "body", "", "request body")
	pflag.StringVar(&bodyFile, "body-file", "", "file with the request body")
	pflag.StringVar(&tokenFile, "token-file", "", "file with the bearer token (default: environment SLUICE_TOKEN)")
	pflag.IntVar(&p.Workers, "workers", 64, "requests in flight at most, a connection each")
	pflag.Float64Var(&p.Rate, "rate", 0, "requests per second (open loop); 0 sends as fast as replies come (closed loop)")
	pflag.DurationVar(&p.Duration, "duration", 10*time.Second, "how long to start requests")
	pflag.DurationVar(&p.Timeout, "timeout", 30*time.Second, "bound on one request")
	pflag.Parse()
	if p.URL == "" {
		return errors.New("--url is required")
	}
	p.Body = []byte(body)
	p.Bearer = os.Getenv("SLUICE_TOKEN")
	for file, set := range map[string]func([]byte){
		bodyFile:  func(b []byte) { p.Body = b },
		tokenFile: func(b []byte) { p.Bearer = strings.TrimSpace(string(b)) },
	} {
		if file == "" {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		set(b)
	}
	p.Check = refuseErrors
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r, err := load.Run(ctx, p)
	if err != nil {
		return err
	}
	r.Print(os.Stdout)
	return nil
}

// refuseErrors counts the gateway's 200 replies that carry an error.
func refuseErrors(body []byte) error {
	if bytes.HasPrefix(body, []byte(`{"error"`)) {
		return errors.New("error reply")
	}
	return nil
}
