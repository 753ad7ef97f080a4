package bustest

import (
	"fmt"

	"sluice/bus"
)

func testReplyStream(f *fixture) {
	one, two := f.topic(bus.Response, "one"), f.topic(bus.Response, "two")
	f.subscribe(bus.Consumer{Topic: one})
	f.subscribe(bus.Consumer{Topic: two})
	f.publish(bus.Message{To: one, ID: "x", Body: []byte("part 1")})
	f.publish(bus.Message{To: one, ID: "x", Body: []byte("part 2")})
	f.publish(bus.Message{To: two, ID: "y", Body: []byte("other")})
	Wait(f, "all replies are delivered", func() bool {
		return len(f.replies.Bodies("x")) >= 2 && len(f.replies.Bodies("y")) >= 1
	})
	if got := f.replies.Bodies("x"); string(got[0]) != "part 1" || string(got[1]) != "part 2" || len(got) != 2 {
		f.Errorf("x got %q", got)
	}
	if got := f.replies.Bodies("y"); string(got[0]) != "other" || len(got) != 1 {
		f.Errorf("y got %q", got)
	}
}

func testReplyStreamCounted(f *fixture) {
	topic, other := f.topic(bus.Response, "counted"), f.topic(bus.Response, "other")
	witness := newInbox(nil)
	f.subscribe(bus.Consumer{Topic: topic, Handler: witness.handle})
	f.subscribe(bus.Consumer{Topic: other})
	first := f.subscribe(bus.Consumer{Topic: topic})
	second := f.subscribe(bus.Consumer{Topic: topic})

	f.close(first)
	f.close(first) // twice counts once
	f.publish(bus.Message{To: topic, ID: "still", Body: []byte("still")})
	Wait(f, "the second subscription gets it", func() bool { return len(f.replies.Bodies("still")) > 0 })
	if n := len(f.replies.Bodies("still")); n != 1 {
		f.Errorf("two subscriptions made %d copies", n)
	}

	f.close(second)
	attempt := 0
	Wait(f, "nothing comes after the last Close", func() bool {
		attempt++
		id, marker := fmt.Sprint("gone", attempt), fmt.Sprint("marker", attempt)
		f.publish(bus.Message{To: topic, ID: id, Body: []byte(id)})
		witness.waitFor(f, id)
		f.publish(bus.Message{To: other, ID: marker, Body: []byte(marker)})
		Wait(f, "the marker is delivered", func() bool { return len(f.replies.Bodies(marker)) > 0 })
		return len(f.replies.Bodies(id)) == 0
	})

	// And it can be had back at once.
	f.subscribe(bus.Consumer{Topic: topic})
	f.publish(bus.Message{To: topic, ID: "back", Body: []byte("back")})
	Wait(f, "the topic is bound again", func() bool { return len(f.replies.Bodies("back")) > 0 })
}

func testBoundBeforeReturn(f *fixture) {
	for i := range 50 {
		replies := f.topic(bus.Response, fmt.Sprint("r", i))
		requests := f.topic(bus.Request, fmt.Sprint("q", i))
		in := newInbox(nil)
		f.subscribe(bus.Consumer{Topic: requests, Name: "svc", Handler: in.handle})
		f.subscribe(bus.Consumer{Topic: replies})
		id := fmt.Sprint("id", i)
		f.publish(bus.Message{To: requests, ID: id, Body: []byte("q")})
		f.publish(bus.Message{To: replies, ID: id, Body: []byte("r")})
		in.wait(f, 1)
		Wait(f, "the reply is delivered", func() bool { return len(f.replies.Bodies(id)) > 0 })
		if f.replies.Returned(id) > 0 {
			f.Errorf("request %s was returned", id)
		}
	}
}
