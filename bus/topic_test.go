package bus

import (
	"strings"
	"testing"
)

func TestParseTopic(t *testing.T) {
	for _, c := range []struct {
		id, exchange string
		class        Class
	}{
		{"request:tg:config", "tg.request.config", Request},
		{"response:tg:config", "tg.response.config", Response},
		{"notify:tg:config", "tg.notify.config", Notify},
		{"flow:tg:acme:triples-store:f1", "tg.flow.acme:triples-store:f1", Flow},
		{"request:dev:x", "dev.request.x", Request},
		{"request::x", ".request.x", Request},
		{"request:tg:", "tg.request.", Request},
		{"request::", ".request.", Request},
		{"foo", "tg.flow.foo", Flow},
		{"", "tg.flow.", Flow},
		{"flow:tg:grüße", "tg.flow.grüße", Flow},
		{"flow:tg:" + strings.Repeat("x", 247), "tg.flow." + strings.Repeat("x", 247), Flow},
	} {
		got, err := ParseTopic(c.id)
		if err != nil || got != (Topic{c.class, c.exchange}) {
			t.Errorf("%q: got %+v, %v", c.id, got, err)
		}
	}
}

func TestParseTopicRefuses(t *testing.T) {
	for _, c := range []struct{ id, want string }{
		{"request:config", "Invalid topic format: request:config, expected class:topicspace:topic"},
		{":", "Invalid topic format: :, expected class:topicspace:topic"},
		{"queue:tg:x", "Invalid topic class: queue, expected flow, request, response, or notify"},
		{"::x", "Invalid topic class: , expected flow, request, response, or notify"},
		{"Request:tg:x", "Invalid topic class: Request, expected flow, request, response, or notify"},
		{"flow:tg:" + strings.Repeat("x", 248), "topic name is 256 bytes long as an exchange, the broker takes at most 255"},
		{strings.Repeat("x", 248), "topic name is 256 bytes long as an exchange, the broker takes at most 255"},
	} {
		if _, err := ParseTopic(c.id); err == nil || err.Error() != c.want {
			t.Errorf("%q: got %v, want %s", c.id, err, c.want)
		}
	}
}

func TestTopicNames(t *testing.T) {
	topic, err := ParseTopic("flow:tg:acme:triples-store:f1")
	if err != nil {
		t.Fatal(err)
	}
	if got := topic.Queue("kg-write--acme--f1--input"); got != "tg.flow.acme:triples-store:f1.kg-write--acme--f1--input" {
		t.Errorf("queue %q", got)
	}
	for class, shared := range map[Class]bool{Flow: true, Request: true, Response: false, Notify: false} {
		if got := (Topic{Class: class}).Shared(); got != shared {
			t.Errorf("%s: shared = %v", class, got)
		}
	}
}

// FuzzParseTopic holds that what is accepted has a name that the broker takes
// and that says again what the id said.
func FuzzParseTopic(f *testing.F) {
	for _, id := range []string{
		"request:tg:config", "flow:tg:acme:triples-store:f1", "foo", "", ":", "::", "a:b", "notify:tg:",
		"response:a.b:c.d", "flow:tg:" + strings.Repeat("x", 300), "queue:tg:x", "flow:\x00:\xff",
	} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		topic, err := ParseTopic(id)
		if err != nil {
			if topic != (Topic{}) {
				t.Errorf("%q: a topic beside the error %v", id, err)
			}
			return
		}
		if len(topic.Exchange) > 255 {
			t.Errorf("%q: exchange name of %d bytes", id, len(topic.Exchange))
		}
		if !strings.Contains(id, ":") {
			if topic != (Topic{Flow, "tg.flow." + id}) {
				t.Errorf("%q: %+v", id, topic)
			}
			return
		}
		parts := strings.SplitN(id, ":", 3)
		if want := parts[1] + "." + parts[0] + "." + parts[2]; topic.Exchange != want || topic.Class.String() != parts[0] {
			t.Errorf("%q: %+v", id, topic)
		}
	})
}
