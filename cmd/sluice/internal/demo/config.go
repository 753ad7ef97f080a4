package demo

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// configStore is the memory behind the config service: opaque texts by
// workspace, type and key.
type configStore struct {
	mu      sync.Mutex
	version int64
	items   map[string]map[string]map[string]string
}

func newConfigStore() *configStore {
	return &configStore{items: make(map[string]map[string]map[string]string)}
}

type configItem struct {
	Type      string  `json:"type"`
	Key       string  `json:"key"`
	Value     *string `json:"value"`
	Workspace string  `json:"workspace"`
}

type configRequest struct {
	Operation string       `json:"operation"`
	Workspace string       `json:"workspace"`
	Type      string       `json:"type"`
	Keys      []configItem `json:"keys"`
	Values    []configItem `json:"values"`
}

type configReply struct {
	Version   int64                        `json:"version"`
	Values    []configItem                 `json:"values"`
	Directory []string                     `json:"directory"`
	Config    map[string]map[string]string `json:"config"`
	Error     *fault                       `json:"error"`
}

// put stores items and returns the new version and what changed, as the config
// notification says it.
func (c *configStore) put(workspace string, items []configItem) map[string][]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version++
	changes := map[string][]string{}
	for _, it := range items {
		types := c.items[workspace]
		if types == nil {
			types = make(map[string]map[string]string)
			c.items[workspace] = types
		}
		if types[it.Type] == nil {
			types[it.Type] = make(map[string]string)
		}
		if it.Value != nil {
			types[it.Type][it.Key] = *it.Value
		}
		changes[it.Type] = []string{workspace}
	}
	return changes
}

func (c *configStore) remove(workspace string, keys []configItem) map[string][]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version++
	changes := map[string][]string{}
	for _, k := range keys {
		delete(c.items[workspace][k.Type], k.Key)
		changes[k.Type] = []string{workspace}
	}
	return changes
}

func (c *configStore) get(workspace, typ, key string) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.items[workspace][typ][key]
	return v, ok
}

func (c *configStore) keys(workspace, typ string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string{}, slices.Sorted(maps.Keys(c.items[workspace][typ]))...)
}

// read answers the operations that change nothing.
func (c *configStore) read(q *configRequest) (configReply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := configReply{Version: c.version, Values: []configItem{}, Directory: []string{}, Config: map[string]map[string]string{}}
	if q.Operation == "getvalues-all-ws" {
		for _, ws := range slices.Sorted(maps.Keys(c.items)) {
			out.Values = appendItems(out.Values, ws, q.Type, c.items[ws][q.Type])
		}
		return out, nil
	}
	types := c.items[q.Workspace]
	switch q.Operation {
	case "config":
		for typ, items := range types {
			out.Config[typ] = maps.Clone(items)
		}
	case "list":
		out.Directory = append(out.Directory, slices.Sorted(maps.Keys(types[q.Type]))...)
	case "getvalues":
		out.Values = appendItems(out.Values, "", q.Type, types[q.Type])
	case "get":
		for _, k := range q.Keys {
			item := configItem{Type: k.Type, Key: k.Key}
			if v, ok := types[k.Type][k.Key]; ok {
				item.Value = &v
			}
			out.Values = append(out.Values, item)
		}
	default:
		return out, faultf("bad-operation", "Bad operation")
	}
	return out, nil
}

func appendItems(dst []configItem, workspace, typ string, items map[string]string) []configItem {
	for _, key := range slices.Sorted(maps.Keys(items)) {
		v := items[key]
		dst = append(dst, configItem{Type: typ, Key: key, Value: &v, Workspace: workspace})
	}
	return dst
}

// answerConfig is the config service.
func (p *Platform) answerConfig(ctx context.Context, body []byte, send func(any)) error {
	var q configRequest
	if err := decode(body, &q); err != nil {
		return err
	}
	if q.Workspace == "" && q.Operation != "getvalues-all-ws" {
		return faultf("bad-request", "Workspace is required")
	}
	var changes map[string][]string
	switch q.Operation {
	case "put":
		changes = p.config.put(q.Workspace, q.Values)
	case "delete":
		changes = p.config.remove(q.Workspace, q.Keys)
	default:
		reply, err := p.config.read(&q)
		if err != nil {
			return err
		}
		send(reply)
		return nil
	}
	send(configReply{Values: []configItem{}, Directory: []string{}, Config: map[string]map[string]string{}})
	if err := p.announce(ctx, changes); err != nil {
		p.log.Warn("config change not announced", "error", err)
	}
	return nil
}

type configPush struct {
	Version int64               `json:"version"`
	Changes map[string][]string `json:"changes"`
}

// announce tells everyone what changed; no changes means that anything may have.
func (p *Platform) announce(ctx context.Context, changes map[string][]string) error {
	p.config.mu.Lock()
	version := p.config.version
	p.config.mu.Unlock()
	if changes == nil {
		changes = map[string][]string{}
	}
	return p.publishTo(ctx, "notify:"+p.topicspace+":config", configPush{version, changes})
}
