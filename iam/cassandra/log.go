package cassandra

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// driverLog makes debug lines of what the driver says: during an outage it says
// much, over and over.
type driverLog struct{ log *slog.Logger }

func (d driverLog) write(severity, text string, fields []gocql.LogField) {
	if !d.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	args := []any{"severity", severity, "text", text}
	for _, f := range fields {
		args = append(args, f.Name, f.Value.String())
	}
	d.log.Debug("Cassandra driver", args...)
}

func (d driverLog) Error(text string, fields ...gocql.LogField)   { d.write("error", text, fields) }
func (d driverLog) Warning(text string, fields ...gocql.LogField) { d.write("warning", text, fields) }
func (d driverLog) Info(text string, fields ...gocql.LogField)    { d.write("info", text, fields) }
func (d driverLog) Debug(text string, fields ...gocql.LogField)   { d.write("debug", text, fields) }

// nodeLog tells of nodes, once per change. The driver says again and again that a
// node is down.
type nodeLog struct {
	log *slog.Logger
	mu  sync.Mutex
	up  map[string]bool // guarded by mu; by address, of those that were told of
}

// OnHostUp implements gocql.HostStatusChangeListener.
func (n *nodeLog) OnHostUp(e gocql.HostUpEvent) {
	n.tell(slog.LevelInfo, "Cassandra node is up", e.Host, true)
}

// OnHostDown implements gocql.HostStatusChangeListener.
func (n *nodeLog) OnHostDown(e gocql.HostDownEvent) {
	n.tell(slog.LevelWarn, "Cassandra node is down", e.Host, false)
}

func (n *nodeLog) tell(level slog.Level, text string, host *gocql.HostInfo, up bool) {
	node := host.ConnectAddress().String()
	n.mu.Lock()
	defer n.mu.Unlock()
	if was, known := n.up[node]; known && was == up {
		return
	}
	n.up[node] = up
	n.log.Log(context.Background(), level, text, "node", node)
}

// connectWatch keeps the failure to connect that matters most: what the driver
// returns has lost its type, and does not say which node it was.
type connectWatch struct {
	mu  sync.Mutex
	err error // guarded by mu
}

// ObserveConnect implements gocql.ConnectObserver.
func (c *connectWatch) ObserveConnect(o gocql.ObservedConnect) {
	if o.Err == nil {
		return
	}
	err := failure(o.Err)
	if host := o.Host.ConnectAddressAndPort(); !strings.Contains(err.Error(), host) {
		err = fmt.Errorf("%w (node %s)", err, host)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil || worse(err, c.err) {
		c.err = err
	}
}

// worse orders failures, so that those of several nodes, which are tried in any
// order, are not news each time: first what does not pass by itself.
func worse(a, b error) bool {
	if refused := errors.Is(a, ErrLogin); refused != errors.Is(b, ErrLogin) {
		return refused
	}
	return a.Error() < b.Error()
}

func (c *connectWatch) worst() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
