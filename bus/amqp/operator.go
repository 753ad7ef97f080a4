package amqp

import "github.com/rabbitmq/amqp091-go"

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
	if len(batch) == 1 {
		batch[0].err = err
		return nil
	}
	for i := range batch {
		if err := o.do(batch[i : i+1]); err != nil {
			return err
		}
	}
	return nil
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
