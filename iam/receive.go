package iam

import (
	"context"
	"errors"
	"strings"
	"time"

	"sluice/bus"
	"sluice/codec"
)

const (
	// lookupLife and requestLife are how long callers wait. Work that would
	// begin later is for nobody.
	lookupLife  = 10 * time.Second
	requestLife = 120 * time.Second

	publishAttempts = 6
	publishPause    = 50 * time.Millisecond

	maxIDBytes = 255
)

// receive takes one request from the bus. It is called for one delivery at a
// time and must not wait for password hashing or for other processes.
func (s *Service) receive(d *bus.Delivery) {
	id, req, ok := s.open(d)
	if !ok {
		d.Ack()
		return
	}
	op := findOperation(req.Operation)
	if op.hashes || op.settles {
		// Acked before the work is done: to do it twice would be worse than not at
		// all, and a lost reply is sent again without it.
		d.Ack()
		s.respond(id, func(ctx context.Context) *codec.IAMReply { return s.answerSlow(ctx, op, &req) }, op, nil)
		return
	}
	// Look-ups wait for a place, so that the broker keeps what cannot be served
	// yet.
	select {
	case s.quick <- struct{}{}:
	case <-s.life.Done():
		d.Requeue() // another replica may have it
		return
	}
	d.Ack()
	s.respond(id, func(ctx context.Context) *codec.IAMReply { return s.answer(ctx, op, &req) }, op, s.quick)
}

// answerSlow carries out an operation that may take long, if there is room:
// nothing queues for one, because what waits behind it would wait too. Guessing is
// slowed down before it takes a place.
func (s *Service) answerSlow(ctx context.Context, op *operation, r *codec.IAMRequest) *codec.IAMReply {
	account := ""
	if op.account != nil {
		account = op.account(r)
	}
	if account != "" && !s.accounts.wait(ctx, account) {
		if ctx.Err() != nil {
			return nil
		}
		return s.refuse(op, r, errTooManyAttempts)
	}
	lane, full := s.slow, errBusy
	if op.settles {
		lane, full = s.settling, errSettling
	}
	select {
	case lane <- struct{}{}:
		defer func() { <-lane }()
	default:
		return s.refuse(op, r, full)
	}
	if account == "" {
		return s.answer(ctx, op, r)
	}
	if !s.accounts.take(account) {
		return s.refuse(op, r, errTooManyAttempts)
	}
	reply := s.answer(ctx, op, r)
	switch {
	case reply == nil:
	case reply.Error == nil:
		s.accounts.report(account, true)
	case reply.Error.Type == typeAuthFailed:
		s.accounts.report(account, false)
	}
	return reply
}

// open reads a delivery. What it returns shares no memory with it.
func (s *Service) open(d *bus.Delivery) (id string, req codec.IAMRequest, ok bool) {
	if d.ID == "" || len(d.ID) > maxIDBytes {
		dropped.noID.Inc()
		s.log.Warn("IAM request without a usable id dropped", "bytes", len(d.Body))
		return "", req, false
	}
	id = strings.Clone(d.ID)
	if repeated := s.seen.add(id); repeated && d.Redelivered {
		dropped.repeated.Inc()
		return "", req, false
	}
	req, err := codec.ParseIAMRequest(d.Body)
	if err == nil {
		return id, req, true
	}
	var member *codec.RecordError
	if errors.As(err, &member) {
		s.respond(id, func(context.Context) *codec.IAMReply {
			return unknown.fail(invalid(member.Error()))
		}, unknown, nil)
		return "", req, false
	}
	dropped.badBody.Inc()
	s.log.Warn("IAM request that is not readable dropped", "id", id, "bytes", len(d.Body), "error", err)
	return "", req, false
}

// respond makes a reply in a goroutine of its own and publishes it. It gives
// the place in lane back, if there is one.
func (s *Service) respond(id string, work func(context.Context) *codec.IAMReply, op *operation, lane chan struct{}) {
	arrived := time.Now()
	s.running.Go(func() {
		if lane != nil {
			defer func() { <-lane }()
		}
		ctx, cancel := context.WithDeadline(s.life, arrived.Add(op.life))
		defer cancel()
		reply := work(ctx)
		if reply == nil {
			dropped.late.Inc()
			return
		}
		s.publish(id, reply)
	})
}

// publish sends a reply, and sends the same one again when the bus fails: what
// it reports has happened, and some of it is shown only once.
func (s *Service) publish(id string, reply *codec.IAMReply) {
	body, err := codec.MarshalIAMReply(reply)
	if err != nil {
		s.log.Error("IAM reply cannot be written", "id", id, "error", err)
		body = internalReply
	}
	for attempt := 0; ; attempt++ {
		_, err = s.bus.Publish(s.life, &bus.Message{To: s.replies, ID: id, Body: body})
		if err == nil {
			return
		}
		if errors.Is(err, bus.ErrTooLarge) {
			s.log.Error("IAM reply too large", "id", id, "bytes", len(body))
			body = internalReply
		}
		if errors.Is(err, bus.ErrClosed) || attempt == publishAttempts || !s.pause(publishPause<<attempt) {
			break
		}
	}
	dropped.reply.Inc()
	s.log.Error("IAM reply lost", "id", id, "bytes", len(body), "error", err)
}

// pause waits unless the service's life ends.
func (s *Service) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.life.Done():
		return false
	}
}
