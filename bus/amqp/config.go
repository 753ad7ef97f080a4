package amqp

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/rabbitmq/amqp091-go"
)

// Config says where the broker is and how much to keep in flight. The zero value
// of every field but URLs means its default.
type Config struct {
	// URLs are AMQP URIs (amqp:// or amqps://), tried in turn. At least one.
	URLs []string
	// TLS is used for amqps:// URLs; nil means the system's roots.
	TLS *tls.Config
	// Name is shown by the broker beside each connection. Default "sluice".
	Name string
	// PublishConnections is how many connections publish. Default 1.
	PublishConnections int
	// ConsumeConnections is how many connections consume; each has a reply queue
	// of its own. Default 1.
	ConsumeConnections int
	// MaxMessageBytes bounds a body. Default 128 MiB, the broker's own default.
	MaxMessageBytes int
	// Prefetch bounds the unacknowledged replies per consume connection.
	// Default and minimum 2048.
	Prefetch int
	// ConfirmWindow bounds the unconfirmed messages of class flow per publish
	// connection. Default 1024.
	ConfirmWindow int
	// BulkWindow and BulkWindowBytes bound what PublishAsync has sent and the
	// broker has not confirmed. Defaults 4096 messages and 32 MiB.
	BulkWindow      int
	BulkWindowBytes int
	// Heartbeat is the interval asked for, in whole seconds. A dead peer is
	// noticed after one and a half of it. Default 10 s.
	Heartbeat time.Duration
	// WriteBufferBytes bounds what waits for the socket, per connection; beyond
	// it Publish fails with bus.ErrBusy. Default 16 MiB.
	WriteBufferBytes int
	// WriteTimeout is how long the broker may take no bytes at all before its
	// connection counts as lost. Default 10 s.
	WriteTimeout time.Duration
	// WatchdogInterval is how often a message is sent round through the broker.
	// Default 5 s.
	WatchdogInterval time.Duration
	// WatchdogTimeout is how long that, or any other answer of the broker, may take
	// before the connections it concerns are rebuilt. Default 15 s.
	WatchdogTimeout time.Duration
	// Logger gets a line per connection and failure. Default slog.Default().
	Logger *slog.Logger
}

const (
	defaultMaxMessageBytes = 128 << 20
	minPrefetch            = 2048
	// accountEvery is how often a lane that has published asks the broker to
	// account for it.
	accountEvery = 50 * time.Millisecond
)

// withDefaults returns a checked copy. Its errors never contain a URL, which may
// hold a password.
func (c Config) withDefaults() (*Config, error) {
	if len(c.URLs) == 0 {
		return nil, errors.New("amqp: no broker URL")
	}
	for i, u := range c.URLs {
		if _, err := amqp091.ParseURI(u); err != nil {
			return nil, fmt.Errorf("amqp: broker URL number %d is not a valid AMQP URI", i+1)
		}
	}
	setDefault(&c.Name, "sluice")
	setDefault(&c.PublishConnections, 1)
	setDefault(&c.ConsumeConnections, 1)
	setDefault(&c.MaxMessageBytes, defaultMaxMessageBytes)
	setDefault(&c.Prefetch, minPrefetch)
	setDefault(&c.ConfirmWindow, 1024)
	setDefault(&c.BulkWindow, 4096)
	setDefault(&c.BulkWindowBytes, 32<<20)
	setDefault(&c.Heartbeat, 10*time.Second)
	setDefault(&c.WriteBufferBytes, 16<<20)
	setDefault(&c.WriteTimeout, 10*time.Second)
	setDefault(&c.WatchdogInterval, 5*time.Second)
	setDefault(&c.WatchdogTimeout, 15*time.Second)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return &c, c.validate()
}

func (c *Config) validate() error {
	switch {
	case c.PublishConnections < 0, c.ConsumeConnections < 0, c.ConfirmWindow < 0, c.BulkWindow < 0, c.BulkWindowBytes < 0, c.MaxMessageBytes < 0:
		return errors.New("amqp: a negative limit makes no sense")
	case c.Prefetch < minPrefetch || c.Prefetch > math.MaxUint16:
		return fmt.Errorf("amqp: prefetch must be between %d and %d", minPrefetch, math.MaxUint16)
	case c.Heartbeat < 2*time.Second:
		return errors.New("amqp: a heartbeat below 2 s would drop healthy connections")
	case c.WriteBufferBytes < 4*largePiece:
		return fmt.Errorf("amqp: the write buffer must be at least %d bytes", 4*largePiece)
	case c.WriteTimeout <= 0, c.WatchdogInterval <= 0, c.WatchdogTimeout <= 0:
		return errors.New("amqp: time-outs must be positive")
	}
	return nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
