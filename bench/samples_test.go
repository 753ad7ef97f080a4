package bench

import (
	"bytes"
	"fmt"
	"strconv"
	"testing"

	"sluice/codec"
)

var completionBody = []byte(`{"system": "You answer briefly and in plain words.", "prompt": "` +
	"Why does water boil at a lower temperature on a mountain? Explain it to a child of ten." + `"}`)

var completionReply = []byte(`{"error": null, "response": "` +
	"Up there the air presses less on the water, so its bubbles can form and rise while it is cooler." +
	`", "in_token": 31, "out_token": 24, "model": "bench", "end_of_stream": true}`)

// sample is one translation with a realistic text.
type sample struct {
	name string
	text []byte
	run  func(dst, text []byte) ([]byte, error)
}

func request(k codec.Kind, body []byte) sample {
	var r codec.Request
	return sample{"request/" + k.String(), body, func(dst, text []byte) ([]byte, error) {
		if err := r.Parse(k, text); err != nil {
			return dst, err
		}
		return r.AppendMessage(dst)
	}}
}

func response(k codec.Kind, msg []byte) sample {
	return sample{"response/" + k.String(), msg, func(dst, text []byte) ([]byte, error) {
		out, _, err := codec.AppendResponse(dst, k, text)
		return out, err
	}}
}

// hotSamples are the kinds that must not allocate.
func hotSamples() []sample {
	return []sample{
		request(codec.TextCompletion, completionBody),
		response(codec.TextCompletion, completionReply),
		request(codec.Embeddings, []byte(`{"texts": ["the first text to embed", "and the second one"]}`)),
		response(codec.Embeddings, fmt.Appendf(nil, `{"error": null, "vectors": [%s, %s]}`, vector(384), vector(384))),
		request(codec.Triples, []byte(`{"s": {"t": "i", "i": "http://example.org/alice"}, "limit": 100, "collection": "people"}`)),
		response(codec.Triples, fmt.Appendf(nil, `{"error": null, "triples": [%s], "is_final": true}`, triples(20))),
		request(codec.GraphEmbeddings, fmt.Appendf(nil, `{"vector": %s, "limit": 10}`, vector(384))),
		response(codec.GraphEmbeddings, fmt.Appendf(nil, `{"error": null, "entities": [%s]}`, entities(10))),
	}
}

func vector(n int) []byte {
	v := []byte{'['}
	for i := range n {
		v = strconv.AppendFloat(v, float64(i%97)/97-0.5, 'g', -1, 64)
		v = append(v, ',')
	}
	v[len(v)-1] = ']'
	return v
}

const busTerm = `{"type": "i", "iri": "http://example.org/%s%d", "id": "", "value": "", "datatype": "", "language": "", "triple": null}`

func triples(n int) []byte {
	var out [][]byte
	for i := range n {
		out = append(out, fmt.Appendf(nil, `{"s": `+busTerm+`, "p": `+busTerm+`, "o": `+busTerm+`, "g": null}`, "s", i, "p", i, "o", i))
	}
	return bytes.Join(out, []byte(","))
}

func entities(n int) []byte {
	var out [][]byte
	for i := range n {
		out = append(out, fmt.Appendf(nil, `{"entity": `+busTerm+`, "score": 0.%d}`, "e", i, i))
	}
	return bytes.Join(out, []byte(","))
}

func TestSamplesTranslate(t *testing.T) {
	for _, s := range append(hotSamples(), coldSamples(t)...) {
		if _, err := s.run(nil, s.text); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
	}
}
