package dispatch

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
)

// A correlation id looks like a UUID: 32 lower-case hex digits in groups of
// 8-4-4-4-12. The first three groups are random bits of this process start, the
// fourth is the slot, the fifth the slot's generation.
const (
	idBytes     = 36
	prefixBytes = 19 // the random groups with their dashes

	slotBits       = 16
	generationBits = 48
	generationMask = 1<<generationBits - 1
)

// idText is a correlation id as text.
type idText [idBytes]byte

// randomPrefix returns the part of the ids that is this process's own.
func randomPrefix() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	digits := hex.EncodeToString(b[:])
	return digits[:8] + "-" + digits[8:12] + "-" + digits[12:] + "-"
}

// encode writes the id of a slot and generation.
func (t *idText) encode(prefix string, slot uint16, generation uint64) {
	copy(t[:], prefix)
	var b [8]byte
	binary.BigEndian.PutUint16(b[:], slot)
	hex.Encode(t[prefixBytes:], b[:2])
	t[23] = '-'
	binary.BigEndian.PutUint64(b[:], generation&generationMask)
	hex.Encode(t[24:], b[2:])
}

// verdict says what is wrong with an id.
type verdict uint8

const (
	ours verdict = iota
	foreign
	malformed
)

// decodeID takes an id apart. It accepts exactly what encode writes.
func decodeID(prefix, id string) (slot uint16, generation uint64, v verdict) {
	if len(id) != idBytes || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return 0, 0, malformed
	}
	if id[:prefixBytes] != prefix {
		return 0, 0, foreign
	}
	s, ok := parseHex(id[prefixBytes:23])
	g, ok2 := parseHex(id[24:])
	if !ok || !ok2 {
		return 0, 0, malformed
	}
	return uint16(s), g, ours
}

// parseHex reads lower-case digits only: ids are compared, not interpreted.
func parseHex(s string) (n uint64, ok bool) {
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			n = n<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}
