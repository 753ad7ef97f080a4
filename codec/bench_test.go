package codec

import (
	"fmt"
	"strings"
	"testing"
)

// sample is one text per hot path, of the size that services see.
type sample struct {
	name string
	dir  string
	kind Kind
	text []byte
}

func samples() []sample {
	term := `{"type":"i","iri":"http://example.org/entities/a-%d","id":"","value":"","datatype":"","language":"","triple":null}`
	literal := `{"type":"l","iri":"","id":"","value":"a literal with some words in it, number %d","datatype":"","language":"","triple":null}`
	triple := `{"s":` + term + `,"p":` + term + `,"o":` + literal + `,"g":null}`
	entity := `{"entity":` + term + `,"score":0.87654321}`
	apiTriple := `{"s":{"t":"i","i":"http://example.org/a-%d"},"p":{"t":"i","i":"http://example.org/p"},"o":{"t":"l","v":"some words %d"}}`
	prompt := strings.Repeat("Explain in three sentences how this works. ", 25)
	vector := vectorText(1024)
	return []sample{
		{"text-completion/request", "request", TextCompletion,
			[]byte(`{"system":"You are a helpful assistant.","prompt":"` + prompt + `","streaming":false}`)},
		{"text-completion/response", "response", TextCompletion,
			[]byte(`{"error":null,"response":"` + prompt + `","in_token":12,"out_token":250,"model":"m-1","end_of_stream":true}`)},
		{"embeddings/request", "request", Embeddings, []byte(`{"texts":["` + prompt + `","` + prompt + `"]}`)},
		{"embeddings/response", "response", Embeddings, []byte(`{"error":null,"vectors":[` + vector + `,` + vector + `]}`)},
		{"graph-embeddings/request", "request", GraphEmbeddings, []byte(`{"vector":` + vector + `,"limit":"20"}`)},
		{"graph-embeddings/response", "response", GraphEmbeddings, []byte(`{"error":null,"entities":[` + repeated(entity, 50) + `]}`)},
		{"triples/request", "request", Triples,
			[]byte(`{"s":{"t":"i","i":"http://example.org/a"},"p":{"t":"i","i":"http://example.org/p"},"limit":100,"batch-size":20}`)},
		{"triples/response", "response", Triples, []byte(`{"error":null,"triples":[` + repeated(triple, 20) + `],"is_final":true}`)},
		{"triples/import", "import", Triples,
			[]byte(`{"metadata":{"id":"doc-1","collection":"default"},"triples":[` + repeated(apiTriple, 50) + `]}`)},
		{"graph-embeddings/export", "export", GraphEmbeddings,
			[]byte(`{"metadata":{"id":"doc-1","root":"","collection":"default"},"entities":[{"entity":` + fmt.Sprintf(term, 1) + `,"vector":` + vector + `,"chunk_id":""}]}`)},
		{"graph-rag/response", "response", GraphRAG,
			[]byte(`{"error":null,"message_type":"chunk","response":"a few words","end_of_stream":false,"end_of_session":false}`)},
		{"mcp-tool/request", "request", MCPTool,
			[]byte(`{"name":"search","parameters":{"query":"zebras in the wild","limit":20,"fields":["a","b","c"],"boost":1.5}}`)},
		{"text-load/send", "send", TextLoad, []byte(`{"id":"doc-1","text":"` + strings.Repeat(prompt+`\n`, 20) + `"}`)},
		{"document-load/send", "send", DocumentLoad, []byte(`{"id":"doc-1","data":"` + strings.Repeat("JVBERi0x", 4096) + `"}`)},
		{"librarian/request", "request", Librarian,
			[]byte(`{"operation":"get-document-metadata","document-id":"doc-1","workspace":"default"}`)},
	}
}

// repeated joins n copies of an element, with numbers filled in.
func repeated(element string, n int) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = strings.ReplaceAll(element, "%d", fmt.Sprint(i))
	}
	return strings.Join(parts, ",")
}

func vectorText(n int) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = fmt.Sprintf("%.17g", float64(i*7919%2003-1001)/7331)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

func BenchmarkTranslate(b *testing.B) {
	for _, s := range samples() {
		b.Run(s.name, func(b *testing.B) {
			run := s.runner()
			if err := run(); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.SetBytes(int64(len(s.text)))
			for b.Loop() {
				_ = run()
			}
		})
	}
}

// runner returns a function that translates the sample into memory that it keeps,
// as a worker does.
func (s sample) runner() func() error {
	var (
		req Request
		dst = make([]byte, 0, 8*len(s.text)+1024)
		err error
	)
	switch s.dir {
	case "response":
		return func() error { dst, _, err = AppendResponse(dst[:0], s.kind, s.text); return err }
	case "import":
		return func() error { dst, err = AppendImport(dst[:0], s.kind, s.text); return err }
	case "export":
		return func() error { dst, err = AppendExport(dst[:0], s.kind, s.text); return err }
	}
	return func() error {
		if err := req.Parse(s.kind, s.text); err != nil {
			return err
		}
		dst, err = req.AppendMessage(dst[:0])
		return err
	}
}

func BenchmarkScan(b *testing.B) {
	texts := map[string]string{
		"ascii":   `"` + strings.Repeat("plain words ", 1000) + `"`,
		"chinese": `"` + strings.Repeat("你好世界", 1000) + `"`,
		"german":  `"` + strings.Repeat("Grüße aus Köln ", 1000) + `"`,
		"escapes": `"` + strings.Repeat(`line\n`, 1000) + `"`,
		"vector":  vectorText(1024),
		"objects": `[` + repeated(`{"a":1,"b":[true,null],"c":{"d":"%d"}}`, 300) + `]`,
		"spaced":  `[` + repeated("{\"a\": 1, \"b\": [true, null],\n \"c\": {\"d\": \"%d\"}}", 300) + `]`,
	}
	for name, text := range texts {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, _, f := scanText([]byte(text)); f != sound {
					b.Fatal(f)
				}
			}
		})
	}
}

// BenchmarkNested is the worst case of reading nested objects again at each level.
func BenchmarkNested(b *testing.B) {
	const levels = 120
	text := []byte(`{"s":` + strings.Repeat(`{"t":"t","tr":{"s":`, levels) + `{"t":"l","v":"` + strings.Repeat("x", 1<<20) + `"}` +
		strings.Repeat(`}}`, levels) + `}`)
	dst, err := AppendRequest(nil, Triples, text)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		dst, _ = AppendRequest(dst[:0], Triples, text)
	}
}

func BenchmarkFinal(b *testing.B) {
	msg := []byte(`{"error":null,"response":"a few words","end_of_stream":false}`)
	b.ReportAllocs()
	for b.Loop() {
		Final(TextCompletion, msg)
	}
}
