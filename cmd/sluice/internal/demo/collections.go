package demo

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// collections is the collection-management service: names and descriptions by
// workspace. Deleting a collection forgets its entry, not its triples.
type collections struct {
	mu    sync.Mutex
	items map[string]map[string]collection
}

type collection struct {
	Collection  string   `json:"collection"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Tags        []string `json:"tags"`
}

type collectionRequest struct {
	Operation   string   `json:"operation"`
	Workspace   string   `json:"workspace"`
	Collection  string   `json:"collection"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Tags        []string `json:"tags"`
	TagFilter   []string `json:"tag_filter"`
	Limit       *int     `json:"limit"`
}

type collectionReply struct {
	Timestamp   string       `json:"timestamp"`
	Collections []collection `json:"collections"`
	Error       *fault       `json:"error"`
}

func newCollections() *collections {
	return &collections{items: make(map[string]map[string]collection)}
}

func (c *collections) answer(_ context.Context, body []byte, send func(any)) error {
	var q collectionRequest
	if err := decode(body, &q); err != nil {
		return err
	}
	if q.Workspace == "" {
		return faultf("bad-request", "Workspace is required")
	}
	found, err := c.operate(&q)
	if err == nil {
		send(collectionReply{Timestamp: time.Now().UTC().Format(time.RFC3339), Collections: found})
	}
	return err
}

func (c *collections) operate(q *collectionRequest) ([]collection, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if q.Operation != "list-collections" && q.Collection == "" {
		return nil, faultf("bad-request", "collection is required")
	}
	switch q.Operation {
	case "list-collections":
		return c.list(q), nil
	case "update-collection":
		if c.items[q.Workspace] == nil {
			c.items[q.Workspace] = make(map[string]collection)
		}
		it := collection{q.Collection, q.Name, q.Description, append([]string{}, q.Tags...)}
		c.items[q.Workspace][q.Collection] = it
		return []collection{it}, nil
	case "delete-collection":
		delete(c.items[q.Workspace], q.Collection)
		return []collection{}, nil
	}
	return nil, faultf("bad-operation", "Bad operation")
}

func (c *collections) list(q *collectionRequest) []collection {
	found := []collection{}
	for _, id := range slices.Sorted(maps.Keys(c.items[q.Workspace])) {
		it := c.items[q.Workspace][id]
		if q.Limit != nil && *q.Limit > 0 && len(found) >= *q.Limit {
			break
		}
		if len(q.TagFilter) == 0 || slices.ContainsFunc(q.TagFilter, func(t string) bool { return slices.Contains(it.Tags, t) }) {
			found = append(found, it)
		}
	}
	return found
}
