package dispatch

import (
	"regexp"
	"strings"
	"testing"
)

func TestIDsLookLikeUUIDs(t *testing.T) {
	shape := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	prefix := randomPrefix()
	for _, c := range []struct {
		slot       uint16
		generation uint64
	}{{0, 0}, {1, 1}, {65535, generationMask}, {0xabcd, 0x0123456789ab}} {
		var id idText
		id.encode(prefix, c.slot, c.generation)
		if !shape.Match(id[:]) {
			t.Errorf("%s", id[:])
		}
		slot, generation, v := decodeID(prefix, string(id[:]))
		if v != ours || slot != c.slot || generation != c.generation {
			t.Errorf("%s decodes to %d, %d, %d", id[:], slot, generation, v)
		}
	}
	if other := randomPrefix(); other == prefix {
		t.Error("two starts have the same random bits")
	}
}

func TestDecodeIDRefuses(t *testing.T) {
	const prefix = "01234567-89ab-cdef-"
	good := prefix + "0001-000000000002"
	for id, want := range map[string]verdict{
		good:                                   ours,
		"":                                     malformed,
		good[:35]:                              malformed,
		good + "0":                             malformed,
		strings.ReplaceAll(good, "-", "_"):     malformed,
		strings.ToUpper(good):                  foreign,
		prefix + "000A-000000000002":           malformed,
		prefix + "000g-000000000002":           malformed,
		prefix + "0001-00000000000G":           malformed,
		prefix + "0001-0000000000-2":           malformed,
		prefix + "0001_000000000002":           malformed,
		"11234567-89ab-cdef-0001-000000000002": foreign,
		"7d444840-9dc0-11d1-b245-5ffdce74fad2": foreign,
		strings.Repeat("\xff", 36):             malformed,
		strings.Repeat("-", 36):                foreign,
		"00000000000000010000000000000002abcd": malformed,
	} {
		if _, _, v := decodeID(prefix, id); v != want {
			t.Errorf("%q: %d, want %d", id, v, want)
		}
	}
}

// FuzzDecodeID holds that nothing is taken for ours but what encode writes.
func FuzzDecodeID(f *testing.F) {
	const prefix = "01234567-89ab-cdef-"
	for _, id := range []string{
		"", prefix, prefix + "0001-000000000002", prefix + "ffff-ffffffffffff", prefix + "000G-000000000002",
		"7d444840-9dc0-11d1-b245-5ffdce74fad2", strings.Repeat("-", 36), strings.Repeat("é", 18),
	} {
		f.Add(id)
	}
	p := NewPending(16)
	f.Fuzz(func(t *testing.T, id string) {
		slot, generation, v := decodeID(prefix, id)
		var again idText
		again.encode(prefix, slot, generation)
		if v == ours && string(again[:]) != id {
			t.Errorf("%q was read as %s", id, again[:])
		}
		// Nor may any id, with our own prefix in front of its end, find a slot
		// that does not exist.
		tail := id[min(len(id), prefixBytes):]
		if s, _ := p.find(p.prefix + tail); s != nil {
			t.Errorf("%q found a slot in an empty table", tail)
		}
	})
}
