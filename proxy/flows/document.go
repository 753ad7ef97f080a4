package flows

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxEntries bounds what a document may unfold to: aliases of aliases grow
// exponentially, and merges may go in circles.
const maxEntries = 1 << 20

// document is a YAML (or JSON, which is YAML) document of mappings and texts.
type document struct {
	root    ast.Node
	anchors map[string]ast.Node
	entries int
}

// entry is one member of a mapping.
type entry struct {
	key   string
	line  int
	value ast.Node
}

// parseDocument reads the syntax. Errors name the line.
func parseDocument(text []byte) (d *document, err error) {
	// The parser is young: a file that makes it panic is a bad file, no reason
	// for the process to die.
	defer func() {
		if r := recover(); r != nil {
			d, err = nil, fmt.Errorf("cannot be read as YAML: %v", r)
		}
	}()
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, plainError(err)
	}
	d = &document{anchors: make(map[string]ast.Node)}
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if d.root != nil {
			return nil, fmt.Errorf("line %d: a second document begins; one file is one document", line(doc.Body))
		}
		d.root = doc.Body
		ast.Walk(d, doc.Body)
	}
	return d, nil
}

// Visit collects the anchors; it makes a document an ast.Visitor.
func (d *document) Visit(n ast.Node) ast.Visitor {
	if a, ok := n.(*ast.AnchorNode); ok && a.Name != nil {
		d.anchors[a.Name.String()] = a.Value
	}
	return d
}

// resolve follows anchors, aliases and tags to the node that holds the value.
func (d *document) resolve(n ast.Node) (ast.Node, error) {
	for range 100 {
		switch v := n.(type) {
		case *ast.AnchorNode:
			n = v.Value
		case *ast.TagNode:
			n = v.Value
		case *ast.AliasNode:
			target, ok := d.anchors[v.Value.String()]
			if !ok {
				return nil, fmt.Errorf("line %d: alias of an unknown anchor", line(v))
			}
			n = target
		default:
			return n, nil
		}
	}
	return nil, errors.New("aliases go in circles")
}

// mapping reads a node that must be a mapping; null is an empty one. what names
// it in errors.
func (d *document) mapping(n ast.Node, what string) ([]entry, error) {
	at := line(n)
	n, err := d.resolve(n)
	if err != nil {
		return nil, err
	}
	if d.entries++; d.entries > maxEntries {
		return nil, errors.New("too many entries, or merges that go in circles")
	}
	switch v := n.(type) {
	case nil, *ast.NullNode:
		return nil, nil
	case *ast.MappingNode:
		return d.members(v.Values, what)
	case *ast.MappingValueNode:
		return d.members([]*ast.MappingValueNode{v}, what)
	}
	return nil, fmt.Errorf("line %d: %s must be a mapping", at, what)
}

func (d *document) members(values []*ast.MappingValueNode, what string) ([]entry, error) {
	if d.entries += len(values); d.entries > maxEntries {
		return nil, errors.New("too many entries")
	}
	out := make([]entry, 0, len(values))
	var merged []entry
	for _, v := range values {
		if v.Key.IsMergeKey() {
			more, err := d.merge(v.Value, what)
			if err != nil {
				return nil, err
			}
			merged = append(merged, more...)
			continue
		}
		key, err := d.text(v.Key, "the key")
		if err != nil {
			return nil, err
		}
		out = append(out, entry{key: key, line: line(v.Key), value: v.Value})
	}
	return overlay(out, merged), nil
}

// merge reads the value of `<<`: a mapping or a list of them.
func (d *document) merge(n ast.Node, what string) ([]entry, error) {
	n, err := d.resolve(n)
	if err != nil {
		return nil, err
	}
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		return d.mapping(n, what)
	}
	var out []entry
	for _, v := range list.Values {
		more, err := d.mapping(v, what)
		if err != nil {
			return nil, err
		}
		out = overlay(out, more)
	}
	return out, nil
}

// overlay adds the entries that a mapping does not have itself.
func overlay(own, merged []entry) []entry {
	if len(merged) == 0 {
		return own
	}
	have := make(map[string]bool, len(own))
	for _, e := range own {
		have[e.key] = true
	}
	for _, e := range merged {
		if !have[e.key] {
			have[e.key] = true
			own = append(own, e)
		}
	}
	return own
}

// text reads a node that must be a scalar: a string, or a number or boolean as
// it is written.
func (d *document) text(n ast.Node, what string) (string, error) {
	at := line(n)
	n, err := d.resolve(n)
	if err != nil {
		return "", err
	}
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, nil
	case *ast.LiteralNode:
		return v.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return v.GetToken().Value, nil
	}
	return "", fmt.Errorf("line %d: %s must be a text", at, what)
}

// line is where a node stands, 0 if it does not know.
func line(n ast.Node) int {
	if n == nil {
		return 0
	}
	return tokenLine(n.GetToken())
}

func tokenLine(t *token.Token) int {
	if t == nil || t.Position == nil {
		return 0
	}
	return t.Position.Line
}

// plainError drops the picture of the surrounding text that the parser adds for
// people at a terminal.
func plainError(err error) error {
	var syntax yaml.Error
	if errors.As(err, &syntax) {
		return fmt.Errorf("line %d: %s", tokenLine(syntax.GetToken()), syntax.GetMessage())
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	return errors.New(first)
}
