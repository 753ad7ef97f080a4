package demo

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"strings"
)

// dimensions is the length of the demo's vectors: short enough to read, long
// enough for texts that share words to lie closer than texts that do not.
const dimensions = 16

// whole is how much the text as a whole weighs against its words. It makes texts
// of the same words differ.
const whole = 0.25

// answerEmbeddings is the embeddings service.
func answerEmbeddings(_ context.Context, body []byte, send func(any)) error {
	var q struct {
		Texts []string `json:"texts"`
	}
	if err := decode(body, &q); err != nil {
		return err
	}
	reply := struct {
		Vectors [][]float64 `json:"vectors"`
		Error   *fault      `json:"error"`
	}{Vectors: make([][]float64, len(q.Texts))}
	for i, text := range q.Texts {
		reply.Vectors[i] = embed(text)
	}
	send(reply)
	return nil
}

// embed is a unit vector that depends on the text only: the sum of its words'
// hashes, and a little of its own.
func embed(text string) []float64 {
	v := make([]float64, dimensions)
	for _, word := range strings.Fields(strings.ToLower(text)) {
		addHash(v, "word:"+word, 1)
	}
	addHash(v, "text:"+text, whole)
	var square float64
	for _, x := range v {
		square += x * x
	}
	for i := range v {
		v[i] /= math.Sqrt(square)
	}
	return v
}

// addHash adds the hash of s as a vector with entries from -weight to weight.
func addHash(v []float64, s string, weight float64) {
	sum := sha256.Sum256([]byte(s))
	for i := range v {
		n := int16(binary.BigEndian.Uint16(sum[2*i:])) //nolint:gosec // wrapping is the point
		v[i] += weight * (float64(n) + 0.5) / (1 << 15)
	}
}
