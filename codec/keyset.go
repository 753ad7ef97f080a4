package codec

import "fmt"

const (
	// keysetBits sizes the table of a keyset: sparse enough that a seed without
	// collisions turns up soon for the two dozen names that a kind may have.
	keysetBits = 8
	// noSlot marks a free entry of the table.
	noSlot = 0xff
)

// keyset maps a closed set of member names to small numbers, their slots, by a
// perfect hash found at start. Names compare byte by byte: case and separators
// count.
type keyset struct {
	names []string
	seed  uint32
	table [1 << keysetBits]uint8
}

// newKeyset gives each name its index as slot. Names must be distinct.
func newKeyset(names ...string) *keyset {
	k := &keyset{names: names}
	for k.seed = 1; k.seed < 1<<20; k.seed += 2 {
		if k.fill() {
			return k
		}
	}
	panic(fmt.Sprintf("BUG: codec: names that no seed tells apart: %q", names))
}

// fill builds the table for the current seed, or reports a collision.
func (k *keyset) fill() bool {
	for i := range k.table {
		k.table[i] = noSlot
	}
	for slot, name := range k.names {
		at := &k.table[keyHash(name, k.seed)]
		if *at != noSlot {
			return false
		}
		*at = uint8(slot)
	}
	return true
}

// keyHash looks at the length and four bytes, which is enough to tell the
// contract's names apart. The name must not be empty.
func keyHash[T ~string | ~[]byte](name T, seed uint32) uint32 {
	n := len(name)
	h := uint32(n) ^ uint32(name[0])<<6 ^ uint32(name[n-1])<<12 ^ uint32(name[n/2])<<18 ^ uint32(name[n/3])<<24
	h *= 0x9e3779b1 ^ seed<<8
	h ^= h >> 15
	return h * 0x85ebca6b >> (32 - keysetBits)
}

// slotOf returns the slot of a name, or -1 when it is not in the set.
func slotOf[T ~string | ~[]byte](k *keyset, name T) int {
	if len(name) == 0 {
		return -1
	}
	slot := k.table[keyHash(name, k.seed)]
	if slot == noSlot || string(name) != k.names[slot] {
		return -1
	}
	return int(slot)
}
