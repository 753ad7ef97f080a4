package dispatch

import (
	"time"

	"sluice/codec"
)

// Ask sends msg, which is a bus message already, to a global service and appends
// the bus message that ends its answer to dst. A zero timeout means the
// defaults. The error is one of this package's; dst then comes back as it was.
func (t *Table) Ask(kind codec.Kind, msg, dst []byte, timeout time.Duration) ([]byte, error) {
	w := t.wait(Call{Timeout: timeout, PartTimeout: timeout})
	out, err := t.ask(kind, msg, dst, &w)
	if err != nil {
		countFailure(err)
	}
	return out, err
}

func (t *Table) ask(kind codec.Kind, msg, dst []byte, w *wait) ([]byte, error) {
	if !kind.IsGlobal() {
		return dst, ErrUnsupportedKind
	}
	s, err := t.acquire(Key{Kind: kind}, w)
	if err != nil {
		return dst, err
	}
	defer s.leave()
	slot := t.pending.open(s)
	if slot == nil {
		return dst, ErrExhausted
	}
	defer t.pending.close(slot)
	if err := t.publish(slot, s, msg, w); err != nil {
		return dst, err
	}
	for {
		part, err := t.nextPart(slot, s, w)
		if err != nil {
			return dst, err
		}
		last := codec.Final(kind, part.B)
		if last {
			dst = append(dst, part.B...)
		}
		part.Release()
		if last {
			return dst, nil
		}
		if !slot.again(w) {
			return dst, ErrTimeout
		}
	}
}
