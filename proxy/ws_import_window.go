package proxy

const (
	// windowMessages and windowBytes bound what one import has on its way to the
	// bus and not settled. One message always fits.
	windowMessages = 1024
	windowBytes    = 8 << 20
)

// unsettled marks the slot of a message that is on its way; the rest is its size.
const unsettled = 1 << 31

// importWindow is the part of an import that is on its way: messages enter in
// order, and settle in any order. The zero value is an empty window.
type importWindow struct {
	// base is the first message that is not settled, top the next one to enter.
	base, top uint64
	bytes     int64
	slots     []uint32 // by index, around; nil until the first message
}

// hasRoom reports whether a message of that many bytes may enter.
func (w *importWindow) hasRoom(size int) bool {
	return w.top-w.base < windowMessages && (w.bytes == 0 || w.bytes+int64(size) <= windowBytes)
}

// roomy reports whether so much has room again that it is worth to wake whoever
// waits for some.
func (w *importWindow) roomy() bool {
	return w.top-w.base <= windowMessages*3/4 && w.bytes <= windowBytes*3/4
}

// empty reports whether nothing is on its way.
func (w *importWindow) empty() bool { return w.base == w.top }

// enter takes the next message and returns its index. There must be room.
func (w *importWindow) enter(size int) uint64 {
	if w.slots == nil {
		w.slots = make([]uint32, windowMessages)
	}
	index := w.top
	w.top++
	w.slots[index%windowMessages] = uint32(size) | unsettled
	w.bytes += int64(size)
	return index
}

// settle takes a message off the window. Unknown ones and those that are settled
// already are ignored.
func (w *importWindow) settle(index uint64) {
	if index < w.base || index >= w.top || w.slots[index%windowMessages]&unsettled == 0 {
		return
	}
	slot := &w.slots[index%windowMessages]
	w.bytes -= int64(*slot &^ unsettled)
	*slot = 0
	for w.base < w.top && w.slots[w.base%windowMessages]&unsettled == 0 {
		w.base++
	}
}
