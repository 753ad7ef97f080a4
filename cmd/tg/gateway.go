package main

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
)

const (
	defaultURL     = "http://localhost:8088/"
	defaultTimeout = seconds(130 * time.Second) // the gateway itself gives up after 120
)

// gateway is whom a command talks to, and how it prints what it hears.
type gateway struct {
	*app
	url                   string
	token                 string
	tokenFile             filename
	workspace             string
	timeout               seconds
	cacert, cert, certKey filename
	output                choice
	json                  bool

	noRoots    error // why nobody's certificate is trusted
	anonymous  bool  // no credential is sent, whatever the environment holds
	tokenGiven bool
}

// command starts a command whose flags are those that every one has.
func (a *app) command(use, short, long string) (*cobra.Command, *gateway) {
	cmd := &cobra.Command{Use: use, Short: short, Long: long, Args: cobra.NoArgs}
	flags := cmd.Flags()
	flags.SortFlags = false
	g := &gateway{app: a, anonymous: true, timeout: defaultTimeout, output: choice{value: "text", of: []string{"text", "json"}}}
	url, ok := a.lookup("TRUSTGRAPH_URL")
	if !ok {
		url = defaultURL
	}
	flags.BoolP("help", "h", false, "print this text")
	flags.StringVarP(&g.url, "api-url", "u", url, "`URL` of the gateway (env TRUSTGRAPH_URL)")
	flags.Lookup("api-url").DefValue = redact(url)
	flags.Var(&g.output, "output", "print `text`, or json: the server's records as one document on standard output")
	flags.BoolVar(&g.json, "json", false, "the same as --output json")
	flags.Var(&g.timeout, "timeout", "give up after this `time` (seconds, or with a unit); 0 means never")
	flags.Var(&g.cacert, "cacert", "trust the certificates in this PEM `file` or directory only (env REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE)")
	flags.Var(&g.cert, "cert", "PEM `file` with a client certificate")
	flags.Var(&g.certKey, "cert-key", "PEM `file` with the client certificate's key, when --cert does not hold it")
	ours(cmd, "output", "json", "timeout", "cacert", "cert", "cert-key")
	return cmd, g
}

// run makes f what cmd does.
func (g *gateway) run(cmd *cobra.Command, f func() error) *cobra.Command {
	completeFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if g.certKey != "" && g.cert == "" {
			return errors.New("argument --cert-key: not allowed without --cert")
		}
		g.tokenGiven = cmd.Flags().Changed("token")
		g.json = g.json || g.output.value == "json"
		if err := f(); err != nil {
			return failed{err}
		}
		return nil
	}
	return cmd
}

// ours marks flags that TrustGraph's own tools do not have.
func ours(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		cmd.Flags().Lookup(name).Annotations = map[string][]string{additional: {}}
	}
}

// requiredFlag adds a flag that must be given, unless one of instead is.
func requiredFlag(cmd *cobra.Command, name, usage string, instead ...string) *string {
	value := cmd.Flags().String(name, "", usage)
	cmd.Flags().Lookup(name).Annotations = map[string][]string{required: instead}
	return value
}

func (g *gateway) withToken(cmd *cobra.Command) {
	g.anonymous = false
	cmd.Flags().StringVarP(&g.token, "token", "t", "", "API key or JWT `token` (env TRUSTGRAPH_TOKEN); others can see arguments")
	cmd.Flags().Var(&g.tokenFile, "token-file", "read the token from this `file` (env TRUSTGRAPH_TOKEN_FILE, unless TRUSTGRAPH_TOKEN is set)")
	ours(cmd, "token-file")
	cmd.MarkFlagsMutuallyExclusive("token", "token-file")
}

func (g *gateway) withWorkspace(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&g.workspace, "workspace", "w", "", "`workspace` to act in (default: the caller's own)")
}

// credential is the token to send: from the flags, else from the environment. An
// empty one means that none is sent.
func (g *gateway) credential() (token string, err error) {
	from := "--token"
	switch fromEnv, _ := g.lookup("TRUSTGRAPH_TOKEN"); {
	case g.anonymous:
	case g.tokenGiven:
		token = g.token
	case g.tokenFile != "":
		from = string(g.tokenFile)
		token, err = readSecretFile(from)
	case fromEnv != "":
		token, from = fromEnv, "TRUSTGRAPH_TOKEN"
	default:
		if from, _ = g.lookup("TRUSTGRAPH_TOKEN_FILE"); from != "" {
			token, err = readSecretFile(from)
		}
	}
	token = strings.TrimRight(token, "\r\n")
	if err == nil && strings.ContainsFunc(token, unicode.IsControl) {
		err = fmt.Errorf("the token in %s is more than a line, or has control characters", from)
	}
	return token, err
}
