package amqp

import (
	"errors"
	"sync"

	"github.com/rabbitmq/amqp091-go"

	"sluice/bus"
)

// What publishing on a lane fails with. Nothing was sent.
var (
	errLaneDown   = errors.New("publishing channel is being replaced")
	errUndeclared = errors.New("exchange is not declared")
)

// returnsBuffer is what may wait to be reported before the connection's reader
// has to.
const returnsBuffer = 1024

// lane is one publishing channel for everything but class flow. It is not in
// confirm mode. When the broker closes its channel, it goes on with a new one and
// a new bus.Lane.
type lane struct {
	// set once
	session *publishSession
	index   int

	mu     sync.Mutex
	ch     *amqp091.Channel // nil while down
	life   *bus.Lane        // what ch publishes
	over   chan struct{}    // closed when end has dealt with the loss of ch
	seq    uint64           // of the last message published on ch
	number uint64           // of life among the echoes
	echoed uint64           // the last seq that needs no echo
}

// openLane opens the lane's first channel and starts its goroutine.
func (s *publishSession) openLane(index int) (*lane, error) {
	l := &lane{session: s, index: index}
	returns, closed, err := l.open()
	if err != nil {
		return nil, err
	}
	s.wg.Go(func() { l.run(returns, closed) })
	return l, nil
}

func (l *lane) open() (chan amqp091.Return, chan *amqp091.Error, error) {
	ch, err := l.session.conn.Channel()
	if err != nil {
		return nil, nil, err
	}
	returns := ch.NotifyReturn(make(chan amqp091.Return, returnsBuffer))
	closed := ch.NotifyClose(make(chan *amqp091.Error, 1))
	l.mu.Lock()
	l.ch, l.life, l.seq, l.echoed = ch, &bus.Lane{}, 0, 0
	l.over = make(chan struct{})
	l.number = l.session.bus.echoes.add(l.life, l.session)
	l.mu.Unlock()
	return returns, closed, nil
}

// run reports returns and replaces lost channels until the connection ends.
func (l *lane) run(returns chan amqp091.Return, closed chan *amqp091.Error) {
	for {
		// The library closes returns with the channel, after the last of them.
		for r := range returns {
			returned.Inc()
			if id, ok := r.Headers["id"].(string); ok {
				l.session.bus.replies.Return(id)
			}
		}
		l.end(<-closed)
		var err error
		if returns, closed, err = l.reopen(); err != nil {
			return
		}
	}
}

// end reports that the present channel is gone.
func (l *lane) end(why *amqp091.Error) {
	l.mu.Lock()
	life, seq := l.life, l.seq
	l.ch = nil
	l.session.bus.echoes.remove(l.number)
	l.session.bus.forget(why)
	close(l.over)
	l.mu.Unlock()
	if why != nil {
		lanesLost.Inc()
	}
	life.MarkLost()
	if seq > 0 {
		l.session.bus.replies.Lost(life)
	}
}

func (l *lane) reopen() (returns chan amqp091.Return, closed chan *amqp091.Error, err error) {
	for !l.session.conn.IsClosed() {
		if returns, closed, err = l.open(); err == nil {
			return returns, closed, nil
		}
		pause(l.session.ctx, minBackoff)
	}
	return nil, nil, amqp091.ErrClosed
}

// publish writes one message. It looks once more whether the exchange is declared:
// one whose absence has cost this lane a channel must not cost it another, nor, for
// those that were on their way, another lane.
func (l *lane) publish(exchange string, mandatory bool, p amqp091.Publishing) (bus.Receipt, error) {
	l.mu.Lock()
	if l.ch == nil {
		l.mu.Unlock()
		return bus.Receipt{}, errLaneDown
	}
	if _, ok := l.session.bus.declared.Load(exchange); !ok {
		l.mu.Unlock()
		return bus.Receipt{}, errUndeclared
	}
	if err := l.ch.Publish(exchange, "", mandatory, false, p); err != nil {
		// Closed under us, or the socket failed before the message was complete.
		over := l.over
		l.mu.Unlock()
		<-over
		return bus.Receipt{}, errLaneDown
	}
	l.seq++
	r := bus.Receipt{Lane: l.life, Seq: l.seq}
	l.mu.Unlock()
	return r, nil
}

// echo asks for an account of what was published since the last time: a message
// of our own that comes back on the reply queue proves that the broker has seen
// everything before it on this channel. Without it, one bad publish would fail
// all the calls whose answers are merely slow. With always it is sent even when
// there is nothing new. It reports whether one was sent.
//
// It goes straight to the reply queue: with an exchange in between, one that went
// away with its connection would cost the lane.
func (l *lane) echo(queue string, always bool) bool {
	if !l.mu.TryLock() { // busy with a large body: there is a next time
		return false
	}
	defer l.mu.Unlock()
	if l.ch == nil || l.seq == l.echoed && !always {
		return false
	}
	if l.ch.Publish("", queue, false, false, l.session.bus.echoes.message(l.number, l.seq)) != nil {
		return false
	}
	l.seq++ // the echo has a number too, but needs no echo
	l.echoed = l.seq
	return true
}
