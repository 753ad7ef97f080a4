package demo

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// streamedParts is how many parts a streamed text has at least.
const streamedParts = 3

// model names what answered.
const model = "echo"

type completionPart struct {
	Response    string `json:"response"`
	InTokens    *int   `json:"in_token"`
	OutTokens   *int   `json:"out_token"`
	Model       string `json:"model"`
	EndOfStream bool   `json:"end_of_stream"`
	Error       *fault `json:"error"`
}

// answerCompletion is the text-completion service: it gives the prompt back,
// streamed in at least streamedParts parts when asked to.
func answerCompletion(_ context.Context, body []byte, send func(any)) error {
	var q struct {
		System    string `json:"system"`
		Prompt    string `json:"prompt"`
		Streaming bool   `json:"streaming"`
	}
	if err := decode(body, &q); err != nil {
		return err
	}
	in, out := len(strings.Fields(q.System+" "+q.Prompt)), len(strings.Fields(q.Prompt))
	eachPart(q.Prompt, q.Streaming, func(text string, last bool) {
		part := completionPart{Response: text, Model: model, EndOfStream: last}
		if last {
			part.InTokens, part.OutTokens = &in, &out
		}
		send(part)
	})
	return nil
}

type promptPart struct {
	Text        string  `json:"text"`
	Object      *string `json:"object"`
	EndOfStream bool    `json:"end_of_stream"`
	InTokens    *int    `json:"in_token"`
	OutTokens   *int    `json:"out_token"`
	Model       string  `json:"model"`
	Error       *fault  `json:"error"`
}

// answerPrompt is the prompt service: it has no templates, so it gives back the
// template's id and the terms in a line each.
func answerPrompt(_ context.Context, body []byte, send func(any)) error {
	var q struct {
		ID        string                     `json:"id"`
		Terms     map[string]json.RawMessage `json:"terms"`
		Streaming bool                       `json:"streaming"`
	}
	if err := decode(body, &q); err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString(q.ID)
	for _, name := range slices.Sorted(maps.Keys(q.Terms)) {
		b.WriteString("\n" + name + " = " + termText(q.Terms[name]))
	}
	words := len(strings.Fields(b.String()))
	eachPart(b.String(), q.Streaming, func(text string, last bool) {
		part := promptPart{Text: text, Model: model, EndOfStream: last}
		if last {
			part.InTokens, part.OutTokens = &words, &words
		}
		send(part)
	})
	return nil
}

// termText is a term's JSON text: terms are strings that hold JSON, but older
// callers send bare values.
func termText(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// eachPart calls f with pieces of text that join to it again, the last one
// marked. Not streaming, there is one.
func eachPart(text string, streaming bool, f func(piece string, last bool)) {
	if !streaming {
		f(text, true)
		return
	}
	pieces := strings.SplitAfter(text, " ")
	for len(pieces) < streamedParts {
		pieces = append(pieces, "")
	}
	for i, piece := range pieces {
		f(piece, i == len(pieces)-1)
	}
}
