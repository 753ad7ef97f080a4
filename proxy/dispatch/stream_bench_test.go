package dispatch

import (
	"context"
	"fmt"
	"testing"

	"sluice/bus"
	"sluice/pool"
)

// tokens is a sink that lets its owner wait for the end.
type tokens struct{ end chan struct{} }

func (s *tokens) Part(body *pool.Buffer, final bool) {
	body.Release()
	if final {
		s.end <- struct{}{}
	}
}

func (s *tokens) Fail(error) { s.end <- struct{}{} }

// BenchmarkStream is a whole text-completion into a sink over the in-process bus.
func BenchmarkStream(b *testing.B) {
	s := newStub(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		sink := &tokens{make(chan struct{}, 1)}
		request := ask(b, "hello")
		for pb.Next() {
			if _, err := s.table.Stream(completion, request, Call{}, sink); err != nil {
				b.Error(err)
				return
			}
			<-sink.end
		}
	})
}

// BenchmarkParts hands the parts of one long answer to a sink.
func BenchmarkParts(b *testing.B) {
	p := NewPending(0)
	fake := newFakeBus()
	table := New(fake, p, Config{})
	table.StartFlow("acme", "main", record("main"))
	h, err := table.Stream(completion, ask(b, "x"), Call{}, &tokens{})
	if err != nil {
		b.Fatal(err)
	}
	id, body := fake.messages()[0].ID, part("a token", false)
	b.ReportAllocs()
	for b.Loop() {
		p.Deliver(id, buffer(body))
	}
	h.Cancel()
	closeTable(b, table)
}

// drain is a tap that takes nothing.
type drain struct{}

func (drain) Offer(f *Frame) { f.Retain(); f.Release() }
func (drain) Ended(error)    {}

// BenchmarkFeed offers one exported message to many taps.
func BenchmarkFeed(b *testing.B) {
	for _, taps := range []int{1, 1000} {
		b.Run(fmt.Sprint("taps=", taps), func(b *testing.B) {
			f := &feed{encode: func(dst, msg []byte) ([]byte, error) { return append(dst, msg...), nil }}
			for range taps {
				f.add(&tapEntry{tap: drain{}})
			}
			d := bus.Delivery{Body: make([]byte, 2048), Settle: func(*bus.Delivery, bool) {}}
			b.ReportAllocs()
			for b.Loop() {
				f.handle(&d)
			}
		})
	}
}

// BenchmarkOutlet publishes work over the in-process bus.
func BenchmarkOutlet(b *testing.B) {
	s := newStub(b)
	_, err := s.bus.Subscribe(context.Background(), bus.Consumer{
		Topic: topic(b, stored), Name: "svc", Handler: func(d *bus.Delivery) { d.Ack() },
	})
	if err != nil {
		b.Fatal(err)
	}
	o, err := s.table.Outlet("acme", "main", "triples-store")
	if err != nil {
		b.Fatal(err)
	}
	defer o.Close()
	body, told := make([]byte, 2048), &outcomes{}
	b.ReportAllocs()
	for b.Loop() {
		if err := o.Publish(context.Background(), body, told, 1); err != nil {
			b.Fatal(err)
		}
	}
}
