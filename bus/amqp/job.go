package amqp

import "github.com/rabbitmq/amqp091-go"

// action is what a job for a binding has to do.
type action uint8

const (
	actNothing action = iota
	actBind
	actUnbind
)

// job is one thing to make true on the broker: that an exchange exists, and that
// a binding or a queue is bound to it. All but listeners is owned by the topology
// until it is taken, then by its consumer's goroutine.
type job struct {
	exchange string
	binding  *binding // or nil
	queue    string   // or ""
	again    bool     // bind even if that was done
	action   action   // of a binding
	err      error

	// guarded by topology.mu
	listeners []chan error
	urgent    bool // in the queue that goes first
	taken     bool
}

// listen returns a channel that gets the answer. It needs no reader.
func (j *job) listen() chan error {
	c := make(chan error, 1)
	j.listeners = append(j.listeners, c)
	return c
}

func (j *job) tell(err error) {
	for _, c := range j.listeners {
		c <- err
	}
	j.listeners = nil
}

func (j *job) lastUse() int64 {
	if j.binding == nil {
		return 0
	}
	return j.binding.used.Load()
}

// decide takes the job out of the binding's hands. Needs topology.mu.
func (j *job) decide() {
	j.taken = true
	b := j.binding
	if b == nil {
		return
	}
	b.queued = nil
	switch bound := b.bound.Load(); {
	case b.wanted > 0 && (!bound || j.again):
		j.action = actBind
	case b.wanted == 0 && bound:
		j.action = actUnbind
	}
}

// perform asks the broker, and waits for its answer unless ahead is set.
func (j *job) perform(ch *amqp091.Channel, private string, ahead bool) error {
	if j.binding == nil && j.queue == "" {
		if err := declareExchange(ch, j.exchange, true); err != nil {
			return err
		}
		// Not every declaration that is affirmed was done (see insist).
		return ch.ExchangeDeclarePassive(j.exchange, amqp091.ExchangeFanout, true, false, false, ahead, nil)
	}
	if j.queue != "" {
		if err := declareExchange(ch, j.exchange, true); err != nil {
			return err
		}
		return ch.QueueBind(j.queue, j.queue, j.exchange, ahead, nil)
	}
	switch j.action {
	case actBind:
		if err := declareExchange(ch, j.exchange, true); err != nil {
			return err
		}
		return ch.ExchangeBind(private, "", j.exchange, ahead, nil)
	case actUnbind:
		return ch.ExchangeUnbind(private, "", j.exchange, ahead, nil)
	}
	if ahead {
		return nil
	}
	// The last of a batch has to be answered, whatever it is.
	return ch.Qos(1, 0, false)
}

// declareExchange declares exactly what everybody else does; anything else would
// be refused.
func declareExchange(ch *amqp091.Channel, name string, ahead bool) error {
	return ch.ExchangeDeclare(name, amqp091.ExchangeFanout, true, false, false, ahead, nil)
}
