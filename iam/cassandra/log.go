package cassandra

import (
	"context"
	"log/slog"
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

// nodeLog tells of nodes, once per change.
type nodeLog struct{ log *slog.Logger }

// OnHostUp implements gocql.HostStatusChangeListener.
func (n nodeLog) OnHostUp(e gocql.HostUpEvent) {
	n.log.Info("Cassandra node is up", "node", e.Host.ConnectAddress().String())
}

// OnHostDown implements gocql.HostStatusChangeListener.
func (n nodeLog) OnHostDown(e gocql.HostDownEvent) {
	n.log.Warn("Cassandra node is down", "node", e.Host.ConnectAddress().String())
}

// connectWatch keeps the last failure to connect: what the driver returns has
// lost its type.
type connectWatch struct {
	mu  sync.Mutex
	err error // guarded by mu
}

// ObserveConnect implements gocql.ConnectObserver.
func (c *connectWatch) ObserveConnect(o gocql.ObservedConnect) {
	if o.Err == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = o.Err
}

func (c *connectWatch) last() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
