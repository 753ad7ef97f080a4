package dispatch

import (
	"fmt"
	"log/slog"
	"time"

	"sluice/bus"
	"sluice/codec"
)

// Config bounds calls and names the global services. The zero value is ready.
type Config struct {
	// Timeout bounds a call in all; 0 means 600 s.
	Timeout time.Duration
	// PartTimeout bounds the wait for each part of an answer; 0 means 120 s.
	PartTimeout time.Duration
	// MaxMessageBytes bounds a translated message; 0 means 128 MiB.
	MaxMessageBytes int
	// IdleAfter is how long a service that nobody calls stays wired; 0 means
	// 10 minutes.
	IdleAfter time.Duration
	// Downloads bounds the Downloads at the same time; 0 means 32.
	Downloads int
	// BlockingTaps bounds the blocking taps at the same time; 0 means 16.
	BlockingTaps int
	// Topicspace is where the global services live; empty means "tg".
	Topicspace string
	// Global replaces topics of global services. What is empty in an entry
	// keeps its default.
	Global map[codec.Kind]codec.Interface
	// Log takes what no caller can be told; nil means slog.Default().
	Log *slog.Logger
}

// globalTopics are the names of bus.md section 10.
var globalTopics = map[codec.Kind]string{
	codec.Config:               "config",
	codec.Flow:                 "flow",
	codec.IAM:                  "iam",
	codec.Librarian:            "librarian",
	codec.Knowledge:            "knowledge",
	codec.CollectionManagement: "collection",
}

// Validate reports entries of Global that cannot work.
func (c Config) Validate() error {
	for kind, i := range c.withDefaults().Global {
		if !kind.IsGlobal() {
			return fmt.Errorf("%q is no global service", kind)
		}
		if _, _, err := serviceTopics(i); err != nil {
			return fmt.Errorf("topics of %s: %w", kind, err)
		}
	}
	return nil
}

func (c Config) withDefaults() Config {
	c.Timeout = orDefault(c.Timeout, 600*time.Second)
	c.PartTimeout = orDefault(c.PartTimeout, 120*time.Second)
	c.IdleAfter = orDefault(c.IdleAfter, 10*time.Minute)
	if c.MaxMessageBytes <= 0 {
		c.MaxMessageBytes = 128 << 20
	}
	if c.Downloads <= 0 {
		c.Downloads = 32
	}
	if c.BlockingTaps <= 0 {
		c.BlockingTaps = 16
	}
	if c.Topicspace == "" {
		c.Topicspace = "tg"
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	overrides := c.Global
	c.Global = make(map[codec.Kind]codec.Interface, len(globalTopics))
	for kind, name := range globalTopics {
		c.Global[kind] = codec.Interface{
			Request:  "request:" + c.Topicspace + ":" + name,
			Response: "response:" + c.Topicspace + ":" + name,
		}
	}
	for kind, o := range overrides {
		i := c.Global[kind]
		if o.Request != "" {
			i.Request = o.Request
		}
		if o.Response != "" {
			i.Response = o.Response
		}
		c.Global[kind] = i
	}
	return c
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

// serviceTopics parses the topics of a request/response service.
func serviceTopics(i codec.Interface) (request, response bus.Topic, err error) {
	if request, err = topicOf(i.Request, bus.Request); err != nil {
		return request, response, err
	}
	response, err = topicOf(i.Response, bus.Response)
	return request, response, err
}

// topicOf parses id and insists on the class: calls over any other class would
// not keep what they promise.
func topicOf(id string, class bus.Class) (bus.Topic, error) {
	if id == "" {
		return bus.Topic{}, fmt.Errorf("no %s topic", class)
	}
	topic, err := bus.ParseTopic(id)
	if err == nil && topic.Class != class {
		err = fmt.Errorf("topic %s is not of class %s", id, class)
	}
	return topic, err
}
