package codec

import (
	"sync"
	"unicode/utf8"
)

// entry is one member of a raw object, as indices into it.
type entry struct{ name, nameEnd, value, valueEnd int }

// entryList lists the members of an object in the order in which their names came
// first, each with its last value. It borrows memory; its zero value is ready.
type entryList struct {
	borrowed *[]entry
}

// fewEntries is up to how many members are searched one by one for duplicates.
const fewEntries = 12

// maxPooledEntries bounds the lists that are kept for reuse.
const maxPooledEntries = 1 << 10

var entryPool = sync.Pool{New: func() any { return new([]entry) }}

// read lists the members of a valid raw object; the result is good until release.
func (l *entryList) read(raw []byte) []entry {
	l.borrowed = entryPool.Get().(*[]entry)
	list := (*l.borrowed)[:0]
	var index map[string]int // by name, once there are many
	for i := skipSpace(raw, 1); raw[i] != '}'; {
		e := entry{name: i, nameEnd: endOfString(raw, i+1)}
		e.value = skipSpace(raw, skipSpace(raw, e.nameEnd)+1)
		e.valueEnd = endOfValue(raw, e.value)
		i = nextElement(raw, e.valueEnd)
		if index == nil && len(list) == fewEntries {
			index = indexEntries(raw, list)
		}
		if at := findEntry(raw, list, index, e); at >= 0 {
			list[at].value, list[at].valueEnd = e.value, e.valueEnd
			continue
		}
		if index != nil {
			index[string(entryName(raw, e))] = len(list)
		}
		list = append(list, e)
	}
	*l.borrowed = list
	return list
}

// release ends the use of the list that read returned.
func (l *entryList) release() {
	if cap(*l.borrowed) <= maxPooledEntries {
		entryPool.Put(l.borrowed)
	}
	l.borrowed = nil
}

func indexEntries(raw []byte, list []entry) map[string]int {
	index := make(map[string]int, 4*fewEntries)
	for i, e := range list {
		index[string(entryName(raw, e))] = i
	}
	return index
}

// findEntry returns the position of the entry with the same name, or -1.
func findEntry(raw []byte, list []entry, index map[string]int, e entry) int {
	name := entryName(raw, e)
	if index != nil {
		if at, ok := index[string(name)]; ok {
			return at
		}
		return -1
	}
	for i, other := range list {
		if string(entryName(raw, other)) == string(name) {
			return i
		}
	}
	return -1
}

// entryName returns what an entry's name says. Halves of surrogate pairs stay
// apart, as three bytes each: names that differ must not become one.
func entryName(raw []byte, e entry) []byte {
	inner := raw[e.name+1 : e.nameEnd-1]
	if !hasEscape(inner) {
		return inner
	}
	name := make([]byte, 0, len(inner))
	for len(inner) > 0 {
		r, n := nextRune(inner)
		inner = inner[n:]
		if isSurrogate(r) {
			name = append(name, 0xe0|byte(r>>12), 0x80|byte(r>>6)&0x3f, 0x80|byte(r)&0x3f)
			continue
		}
		name = utf8.AppendRune(name, r)
	}
	return name
}
