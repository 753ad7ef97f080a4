package amqp

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"sync"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"sluice/bus"
)

const (
	echoType  = "sluice.echo"
	nonceSize = 8
	echoSize  = nonceSize + 16
)

// echoes knows where the messages that this process sends round through the
// broker come from. They carry no id header, so no reply is mistaken for one, and
// a random number, so no other process can account for our lanes.
type echoes struct {
	nonce [nonceSize]byte

	mu    sync.Mutex
	last  uint64
	lives map[uint64]echoSource
}

type echoSource struct {
	life    *bus.Lane
	session *publishSession
}

func newEchoes() *echoes {
	e := &echoes{lives: map[uint64]echoSource{}}
	_, _ = rand.Read(e.nonce[:])
	return e
}

func (e *echoes) add(life *bus.Lane, s *publishSession) uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last++
	e.lives[e.last] = echoSource{life, s}
	return e.last
}

func (e *echoes) remove(number uint64) {
	e.mu.Lock()
	delete(e.lives, number)
	e.mu.Unlock()
}

// message accounts for everything up to seq in the life with this number.
func (e *echoes) message(number, seq uint64) amqp091.Publishing {
	body := make([]byte, 0, echoSize)
	body = append(body, e.nonce[:]...)
	body = binary.BigEndian.AppendUint64(body, number)
	body = binary.BigEndian.AppendUint64(body, seq)
	return amqp091.Publishing{Type: echoType, DeliveryMode: amqp091.Transient, Body: body}
}

// take looks at a message without id that reached consumer number index, and
// reports whether it was an echo.
func (e *echoes) take(index int, d *amqp091.Delivery) bool {
	if d.Type != echoType || len(d.Body) != echoSize || !bytes.Equal(d.Body[:nonceSize], e.nonce[:]) {
		return false
	}
	e.mu.Lock()
	source, ok := e.lives[binary.BigEndian.Uint64(d.Body[nonceSize:])]
	e.mu.Unlock()
	if ok {
		source.life.Account(binary.BigEndian.Uint64(d.Body[nonceSize+8:]))
		source.session.heard[index].Store(time.Now().UnixNano())
	}
	return true
}
