package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// Routes of the gateway.
const (
	pathIAM            = "/api/v1/iam"
	pathBootstrap      = "/api/v1/auth/bootstrap"
	pathLogin          = "/api/v1/auth/login"
	pathChangePassword = "/api/v1/auth/change-password"
)

// reply is an answer that is not an error.
type reply struct {
	record
	raw json.RawMessage // all of it
}

// iam asks for an operation, in the workspace of -w when there is one.
func (g *gateway) iam(operation string, members ...member) (*reply, error) {
	body := append(object{{"operation", operation}}, members...)
	return g.ask(pathIAM, body.with("workspace", g.workspace))
}

// ask posts body and takes the error out of the answer.
func (g *gateway) ask(path string, body object) (*reply, error) {
	status, raw, err := g.post(path, body)
	if err != nil {
		return nil, err
	}
	var r record
	isObject := json.Unmarshal(raw, &r) == nil && r != nil
	refusal, refused := r["error"]
	switch {
	case status != http.StatusOK && isObject:
		return nil, fmt.Errorf("HTTP %d: %s", status, errorText(refusal))
	case status != http.StatusOK:
		return nil, fmt.Errorf("HTTP %d: %s", status, raw)
	case !isObject:
		return nil, notJSON(raw)
	case refused:
		return nil, errors.New(errorText(refusal))
	}
	return &reply{r, raw}, nil
}

// notJSON is the error for an answer that a gateway would not give.
func notJSON(raw []byte) error {
	if json.Valid(raw) {
		return errors.New("the reply is JSON, but no object: is a gateway at --api-url?")
	}
	return errors.New("the reply is not JSON: is a gateway at --api-url?")
}

// errorText is what an error member says. An object that names no type is only its
// message.
func errorText(raw json.RawMessage) string {
	var e record
	if len(raw) > 0 && (json.Unmarshal(raw, &e) != nil || e == nil) {
		return literal(raw)
	}
	switch {
	case e.yes("type"):
		return literal(e["type"]) + ": " + literal(e["message"])
	case e.yes("message"):
		return literal(e["message"])
	}
	return "error"
}

// show prints a result: document when JSON is asked for, else what text prints.
func (g *gateway) show(document json.RawMessage, text func()) error {
	if !g.json {
		text()
		return nil
	}
	var out bytes.Buffer
	if err := json.Indent(&out, document, "", "  "); err != nil {
		return err
	}
	fmt.Fprintln(g.out, out.String())
	return nil
}

// list are the records of a list, which the gateway leaves out when it is empty.
func (r *reply) list(name string) ([]record, error) {
	if !truth(r.record[name]) {
		return nil, nil
	}
	var list []record
	err := json.Unmarshal(r.record[name], &list)
	if err != nil || slices.ContainsFunc(list, func(one record) bool { return one == nil }) {
		return nil, fmt.Errorf("%s of the reply is not a list of records: is a gateway at --api-url?", name)
	}
	return list, nil
}

// done prints a line about what was done.
func (g *gateway) done(r *reply, format string, args ...any) error {
	return g.show(r.raw, func() { fmt.Fprintf(g.out, format+"\n", args...) })
}

// object is the member that holds a record; {} when there is none.
func (r *reply) object(name string) json.RawMessage {
	if !truth(r.record[name]) {
		return json.RawMessage("{}")
	}
	return r.record[name]
}
