package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"sluice/proxy/auth"
)

func newCanCommand() *cobra.Command {
	var q question
	var roles string
	cmd := &cobra.Command{
		Use:   "can [--roles a,b --assigned W --capability C [--workspace T]]",
		Short: "Ask the role table whether somebody may do something",
		Long: `Print allow or deny: may an identity with these roles, assigned to workspace W,
use capability C in workspace T (W when not given)? Exit code 0 for allow, 1 for
deny. Unknown roles grant nothing; unknown capabilities are denied.

Without flags it reads a question per line from standard input

  {"roles":["writer"],"assigned":"acme","capability":"llm","target":null}

and answers each with a line: allow, deny, or "error: …" for a line that is not
a question. The exit code is then 0, or 2 when a line was not a question.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().NFlag() == 0 {
				return canLines(cmd.InOrStdin(), cmd.OutOrStdout())
			}
			for _, name := range []string{"roles", "assigned", "capability"} {
				if !cmd.Flags().Changed(name) {
					return fmt.Errorf("--%s is missing", name)
				}
			}
			q.Roles = strings.Split(roles, ",")
			return canOnce(cmd.OutOrStdout(), q)
		},
	}
	cmd.Flags().StringVar(&roles, "roles", "", "the identity's `roles`, separated by commas")
	cmd.Flags().StringVar(&q.Assigned, "assigned", "", "the identity's own `workspace`")
	cmd.Flags().StringVar(&q.Capability, "capability", "", "the `capability` asked for, e.g. graph:read")
	cmd.Flags().StringVar(&q.Target, "workspace", "", "the `workspace` to act in; empty means the identity's own")
	return cmd
}

// question is what `can` decides. An empty Target is the assigned workspace.
type question struct {
	Roles                        []string
	Assigned, Capability, Target string
}

func (q question) allowed() bool { return auth.Check(q.Roles, q.Assigned, q.Capability, q.Target) }

func verdict(allowed bool) string {
	if allowed {
		return "allow"
	}
	return "deny"
}

func canOnce(out io.Writer, q question) error {
	allowed := q.allowed()
	if _, err := fmt.Fprintln(out, verdict(allowed)); err != nil {
		return failure(err)
	}
	if !allowed {
		return &exitError{code: exitFailure}
	}
	return nil
}

// canLines answers line by line and goes on after a bad one, so that answers and
// questions stay in step.
func canLines(in io.Reader, out io.Writer) error {
	r, w := bufio.NewReader(in), bufio.NewWriter(out)
	bad := 0
	var line []byte
	for {
		var err error
		line, err = readLine(r, line[:0], maxLineBytes)
		if errors.Is(err, io.EOF) {
			break
		}
		answer := ""
		if err == nil {
			var q question
			if q, err = parseQuestion(line); err == nil {
				answer = verdict(q.allowed())
			}
		} else if !errors.Is(err, errLineTooLong) {
			return failure(errors.Join(err, w.Flush()))
		}
		if err != nil {
			bad++
			answer = "error: " + err.Error()
		}
		fmt.Fprintln(w, answer)
		if r.Buffered() == 0 {
			if err := w.Flush(); err != nil {
				return failure(err)
			}
		}
	}
	if err := w.Flush(); err != nil {
		return failure(err)
	}
	if bad > 0 {
		return &exitError{exitUsage, fmt.Errorf("%d lines were not questions", bad)}
	}
	return nil
}

// parseQuestion reads members by their exact names, which encoding/json does not
// when it fills a struct, and ignores unknown ones.
func parseQuestion(line []byte) (question, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(line, &members); err != nil {
		return question{}, fmt.Errorf("not a JSON object: %w", err)
	}
	if members == nil {
		return question{}, errors.New("not a JSON object")
	}
	var q question
	for name, to := range map[string]any{"roles": &q.Roles, "assigned": &q.Assigned, "capability": &q.Capability, "target": &q.Target} {
		raw, ok := members[name]
		if !ok {
			continue
		}
		if err := json.Unmarshal(raw, to); err != nil {
			return question{}, fmt.Errorf("%s has the wrong type", name)
		}
	}
	return q, nil
}
