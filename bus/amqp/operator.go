package amqp

import (
	"errors"
	"time"

	"github.com/rabbitmq/amqp091-go"
)

const (
	declareAttempts = 20
	declarePause    = 5 * time.Millisecond
)

// operator does jobs on a channel of its own.
type operator struct {
	conn    *amqp091.Connection
	private string
	ch      *amqp091.Channel // nil after the broker closed it
}

// do does all jobs in one go: it waits for the last answer only. When the broker
// refuses one it closes the channel, so the jobs are done again one by one and
// each gets its own answer; doing one twice does no harm.
func (o *operator) do(batch []*job) error {
	err := o.try(batch)
	if err == nil {
		return nil
	}
	o.ch = nil
	if o.conn.IsClosed() {
		return err
	}
	for _, j := range batch {
		if j.err, err = o.insist(j); err != nil {
			return err
		}
	}
	return nil
}

// insist does one job and tells the broker's answer. RabbitMQ ignores, and affirms,
// the declaration of an exchange whose deletion is under way; the next step then
// finds none, and a moment later it would be there.
func (o *operator) insist(j *job) (refused, fatal error) {
	for attempt := 1; ; attempt++ {
		err := o.try([]*job{j})
		if err == nil {
			return nil, nil
		}
		o.ch = nil
		if o.conn.IsClosed() {
			return nil, err
		}
		if !isNotFound(err) || attempt == declareAttempts {
			return err, nil
		}
		time.Sleep(declarePause)
	}
}

func isNotFound(err error) bool {
	var e *amqp091.Error
	return errors.As(err, &e) && e.Code == amqp091.NotFound
}

func (o *operator) try(batch []*job) (err error) {
	if o.ch == nil {
		if o.ch, err = o.conn.Channel(); err != nil {
			return err
		}
	}
	for i, j := range batch {
		if err = j.perform(o.ch, o.private, i < len(batch)-1); err != nil {
			return err
		}
	}
	return nil
}
