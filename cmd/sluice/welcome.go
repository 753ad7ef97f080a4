package main

import (
	"fmt"
	"io"
	"strings"
)

// example is a request that a newcomer can paste. Titles are comments; they hold
// no quotes and brackets because an interactive zsh knows no comments.
type example struct{ title, path, body string }

var examples = []example{
	{"Text completion by a model that echoes", "/api/v1/flow/default/service/text-completion",
		`{"system": "You are an echo.", "prompt": "Hello, bus!"}`},
	{"Embeddings made of hashes", "/api/v1/flow/default/service/embeddings",
		`{"texts": ["a cat", "a dog"]}`},
	{"Load statements, one a line", "/api/v1/flow/default/service/text-load",
		`{"id": "doc-1", "text": "alice knows bob .\nbob knows carol .\nbob age \"42\" ."}`},
	{"Query them as triples", "/api/v1/flow/default/service/triples",
		`{"p": {"t": "i", "i": "knows"}, "limit": 10}`},
	{"List the flows", "/api/v1/flow", `{"operation": "list-flows"}`},
	{"List the users", "/api/v1/iam", `{"operation": "list-users"}`},
}

// printWelcome tells how to use the platform. It is the only place that shows
// the administrator's key.
func printWelcome(out io.Writer, c *Config, address fmt.Stringer, key string) error {
	kind := "the embedded bus"
	if len(c.AMQPURLs) > 0 {
		kind = "RabbitMQ, topicspace " + c.Topicspace
	}
	var b strings.Builder
	fmt.Fprintf(&b, "sluice dev serves http://%s over %s.\n", address, kind)
	fmt.Fprintf(&b, "Everything is in memory and gone when it stops. Stop it with Ctrl-C.\n\n")
	fmt.Fprintf(&b, "Paste into another terminal (the key is the administrator's and shown only here):\n\n")
	fmt.Fprintf(&b, "  KEY=%s\n", key)
	for _, e := range examples {
		fmt.Fprintf(&b, "\n# %s\n  curl -s -H \"Authorization: Bearer $KEY\" http://%s%s \\\n    -d '%s'; echo\n", e.title, address, e.path, e.body)
	}
	_, err := io.WriteString(out, b.String()+"\n")
	return err
}
