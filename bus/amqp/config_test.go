package amqp

import (
	"strings"
	"testing"
	"time"
)

func TestConfigRefusesNonsense(t *testing.T) {
	const url = "amqp://user:secret@localhost:5672/"
	for name, c := range map[string]Config{
		"no url":            {},
		"not a url":         {URLs: []string{"amqp://user:secret@bad host:port"}},
		"second not a url":  {URLs: []string{url, "http://user:secret@localhost"}},
		"negative limit":    {URLs: []string{url}, MaxMessageBytes: -1},
		"negative number":   {URLs: []string{url}, PublishConnections: -1},
		"small prefetch":    {URLs: []string{url}, Prefetch: 100},
		"large prefetch":    {URLs: []string{url}, Prefetch: 1 << 16},
		"hasty heartbeat":   {URLs: []string{url}, Heartbeat: time.Second},
		"small buffer":      {URLs: []string{url}, WriteBufferBytes: 1000},
		"negative deadline": {URLs: []string{url}, WriteTimeout: -1},
	} {
		_, err := c.withDefaults()
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error holds the password: %v", name, err)
		}
	}
}

func TestConfigDefaults(t *testing.T) {
	c, err := Config{URLs: []string{"amqp://localhost"}}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if c.PublishConnections != 1 || c.ConsumeConnections != 1 || c.MaxMessageBytes != 128<<20 || c.Prefetch < 2048 || c.Heartbeat != 10*time.Second {
		t.Errorf("defaults: %+v", c)
	}
}
