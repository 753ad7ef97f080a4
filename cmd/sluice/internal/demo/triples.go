package demo

import (
	"context"
	"encoding/json"
	"math"
	"sync"
)

// term and triple are codec.md's Term and Triple as the bus carries them.
type term struct {
	Type     string  `json:"type"`
	IRI      string  `json:"iri"`
	ID       string  `json:"id"`
	Value    string  `json:"value"`
	Datatype string  `json:"datatype"`
	Language string  `json:"language"`
	Triple   *triple `json:"triple"`
}

type triple struct {
	S *term   `json:"s"`
	P *term   `json:"p"`
	O *term   `json:"o"`
	G *string `json:"g"`
}

type metadata struct {
	ID         string `json:"id"`
	Root       string `json:"root"`
	Collection string `json:"collection"`
}

type triplesMessage struct {
	Metadata metadata `json:"metadata"`
	Triples  []triple `json:"triples"`
}

// matches compares terms by what they say; an absent pattern matches everything.
func (t *term) matches(pattern *term) bool {
	if pattern == nil {
		return true
	}
	if t == nil {
		return false
	}
	a, b := *t, *pattern
	a.Triple, b.Triple = nil, nil
	return a == b && t.Triple.equal(pattern.Triple)
}

func (t *triple) equal(u *triple) bool {
	if t == nil || u == nil {
		return t == u
	}
	return t.S.equal(u.S) && t.P.equal(u.P) && t.O.equal(u.O) && t.graph() == u.graph()
}

func (t *term) equal(u *term) bool {
	if t == nil || u == nil {
		return t == u
	}
	return t.matches(u)
}

// graph is the name of the graph that t is in, "" for the default graph.
func (t *triple) graph() string {
	if t.G == nil {
		return ""
	}
	return *t.G
}

// tripleStore holds the triples of one flow, by collection, in the order they
// came, each once.
type tripleStore struct {
	mu          sync.RWMutex
	collections map[string]*collectionTriples
}

type collectionTriples struct {
	list []triple
	seen map[string]struct{} // JSON texts
}

func newTripleStore() *tripleStore {
	return &tripleStore{collections: make(map[string]*collectionTriples)}
}

// take stores a message of the triples-store topic.
func (s *tripleStore) take(_ context.Context, body []byte) error {
	var m triplesMessage
	if err := decode(body, &m); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.collections[m.Metadata.Collection]
	if c == nil {
		c = &collectionTriples{seen: make(map[string]struct{})}
		s.collections[m.Metadata.Collection] = c
	}
	for _, t := range m.Triples {
		key, err := json.Marshal(t)
		if err != nil {
			return err
		}
		if _, dup := c.seen[string(key)]; !dup {
			c.seen[string(key)] = struct{}{}
			c.list = append(c.list, t)
		}
	}
	return nil
}

type triplesQuery struct {
	S          *term   `json:"s"`
	P          *term   `json:"p"`
	O          *term   `json:"o"`
	G          *string `json:"g"`
	Limit      int64   `json:"limit"`
	Collection string  `json:"collection"`
	Streaming  bool    `json:"streaming"`
	BatchSize  int64   `json:"batch_size"`
}

type triplesPart struct {
	Triples []triple `json:"triples"`
	IsFinal bool     `json:"is_final"`
	Error   *fault   `json:"error"`
}

// answer is the triples service: patterns over a collection, at most limit
// results, streamed in batches when asked to.
func (s *tripleStore) answer(_ context.Context, body []byte, send func(any)) error {
	q := triplesQuery{Limit: 10000, BatchSize: 20, Collection: "default"}
	if err := decode(body, &q); err != nil {
		return err
	}
	found := s.find(&q)
	batch := len(found)
	if q.Streaming && q.BatchSize > 0 {
		batch = int(min(q.BatchSize, math.MaxInt32))
	}
	for len(found) > batch {
		send(triplesPart{Triples: found[:batch]})
		found = found[batch:]
	}
	send(triplesPart{Triples: found, IsFinal: true})
	return nil
}

func (s *tripleStore) find(q *triplesQuery) []triple {
	s.mu.RLock()
	defer s.mu.RUnlock()
	found := []triple{}
	c := s.collections[q.Collection]
	if c == nil {
		return found
	}
	for _, t := range c.list {
		if int64(len(found)) >= q.Limit {
			break
		}
		if t.S.matches(q.S) && t.P.matches(q.P) && t.O.matches(q.O) && inGraph(&t, q.G) {
			found = append(found, t)
		}
	}
	return found
}

// inGraph reads a query's graph: none is the default graph, "*" is all of them.
func inGraph(t *triple, graph *string) bool {
	if graph == nil {
		return t.graph() == ""
	}
	return *graph == "*" || t.graph() == *graph
}
