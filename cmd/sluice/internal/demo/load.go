package demo

import (
	"context"
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// loader stands for the whole extraction pipeline: it reads statements out of
// loaded texts and sends them to the flow's triples-store topic.
type loader struct {
	p  *Platform
	to string // topic id
}

// text takes a TextDocument of the text-load topic.
func (l *loader) text(ctx context.Context, body []byte) error {
	var m struct {
		Metadata metadata `json:"metadata"`
		Text     string   `json:"text"`
	}
	if err := decode(body, &m); err != nil {
		return err
	}
	return l.load(ctx, m.Metadata, m.Text)
}

// document takes a Document of the document-load topic. It understands plain
// text only.
func (l *loader) document(ctx context.Context, body []byte) error {
	var m struct {
		Metadata metadata `json:"metadata"`
		Data     string   `json:"data"`
	}
	if err := decode(body, &m); err != nil {
		return err
	}
	raw, err := base64.StdEncoding.DecodeString(m.Data)
	if err != nil {
		return faultf("bad-request", "data is not base64")
	}
	if !utf8.Valid(raw) {
		return faultf("bad-request", "the document is not UTF-8 text")
	}
	return l.load(ctx, m.Metadata, string(raw))
}

func (l *loader) load(ctx context.Context, about metadata, text string) error {
	m := triplesMessage{Metadata: about, Triples: []triple{}}
	skipped := 0
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		t, ok := parseStatement(line)
		if !ok {
			skipped++
			continue
		}
		m.Triples = append(m.Triples, t)
	}
	l.p.log.Info("text loaded", "statements", len(m.Triples), "lines_skipped", skipped)
	if len(m.Triples) == 0 {
		return nil
	}
	return l.p.publishTo(ctx, l.to, m)
}

// parseStatement reads `subject predicate object .`, much like N-Triples: a term
// is <iri>, a bare word (an IRI as it stands), _:name, or a "text" with
// optional @language or ^^<datatype>. The dot may be missing.
func parseStatement(line string) (triple, bool) {
	var terms [3]*term
	for i := range terms {
		t, rest, ok := parseTerm(strings.TrimLeft(line, " \t"))
		if !ok {
			return triple{}, false
		}
		terms[i], line = t, rest
	}
	rest := strings.TrimSpace(line)
	if rest != "" && rest != "." {
		return triple{}, false
	}
	return triple{S: terms[0], P: terms[1], O: terms[2]}, true
}

func parseTerm(s string) (t *term, rest string, ok bool) {
	switch {
	case s == "", s == ".":
		return nil, s, false
	case s[0] == '<':
		iri, rest, ok := strings.Cut(s[1:], ">")
		return &term{Type: "i", IRI: iri}, rest, ok
	case s[0] == '"':
		return parseLiteral(s[1:])
	}
	word, rest := cutWord(s)
	if name, blank := strings.CutPrefix(word, "_:"); blank {
		return &term{Type: "b", ID: name}, rest, name != ""
	}
	return &term{Type: "i", IRI: word}, rest, true
}

// cutWord splits off a bare word; a dot at its end is the statement's when the
// line ends there.
func cutWord(s string) (word, rest string) {
	end := strings.IndexAny(s, " \t")
	if end >= 0 {
		return s[:end], s[end:]
	}
	if word, ok := strings.CutSuffix(s, "."); ok && word != "" {
		return word, "."
	}
	return s, ""
}

var unescape = strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\n`, "\n", `\r`, "\r", `\t`, "\t")

// parseLiteral reads what follows an opening quote.
func parseLiteral(s string) (t *term, rest string, ok bool) {
	end := closingQuote(s)
	if end < 0 {
		return nil, s, false
	}
	t, rest = &term{Type: "l", Value: unescape.Replace(s[:end])}, s[end+1:]
	switch {
	case strings.HasPrefix(rest, "@"):
		t.Language, rest = cutWord(rest[1:])
	case strings.HasPrefix(rest, "^^<"):
		t.Datatype, rest, ok = strings.Cut(rest[3:], ">")
		if !ok {
			return nil, s, false
		}
	}
	return t, rest, true
}

func closingQuote(s string) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}
