package codec

// collect notes the members of the valid object that starts at b[i] in m, by
// slot, and returns the index after the object. Of several members with one name
// the last one stays.
func (k *keyset) collect(b []byte, i int, m [][]byte) int {
	for i = skipSpace(b, i+1); b[i] != '}'; i = nextElement(b, i) {
		slot, value := k.member(b, i)
		i = endOfValue(b, value)
		if slot >= 0 {
			m[slot] = b[value:i:i]
		}
	}
	return i + 1
}

// member reads the name that starts at b[i] in a valid object: its slot, or -1, and
// where the value starts.
func (k *keyset) member(b []byte, i int) (slot, value int) {
	end := endOfString(b, i+1)
	return k.slotOfRaw(b[i+1 : end-1]), skipSpace(b, skipSpace(b, end)+1)
}

// scanInto is collect for a text that nobody has validated yet: it does both at
// once, for the object at b[i] whose members count as depth containers deep, and
// may return a fault and where it is.
func (k *keyset) scanInto(b []byte, i, depth int, m [][]byte) (int, fault) {
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		return i + 1, sound
	}
	for {
		end, value, f := scanName(b, i)
		if f != sound {
			return value, f
		}
		slot := k.slotOfRaw(b[i+1 : end-1])
		if i, f = scanValue(b, value, depth); f != sound {
			return i, f
		}
		if slot >= 0 {
			m[slot] = b[value:i:i]
		}
		next, more, f := scanComma(b, i)
		if f != sound || !more {
			return next, f
		}
		i = next
	}
}

// slotOfRaw is slotOf for the inside of a raw string: names count as what they
// say, however they are spelled.
func (k *keyset) slotOfRaw(inner []byte) int {
	if slot := slotOf(k, inner); slot >= 0 || !hasEscape(inner) {
		return slot
	}
	var name [64]byte
	n := 0
	for len(inner) > 0 {
		r, size := nextRune(inner)
		if r >= 0x80 || n == len(name) {
			return -1 // the contract's names are short and ASCII
		}
		name[n], n, inner = byte(r), n+1, inner[size:]
	}
	return slotOf(k, name[:n])
}

// scanMembers validates a whole text. When it is an object its members are noted
// in m, and object is true.
func (k *keyset) scanMembers(text []byte, m [][]byte) (object bool, err *SyntaxError) {
	return k.scanMembersAt(text, 1, m)
}

// scanMembersAt is scanMembers for an object whose members count as depth
// containers deep: with 0 each of them may nest as deeply as a text of its own.
func (k *keyset) scanMembersAt(text []byte, depth int, m [][]byte) (object bool, err *SyntaxError) {
	start := skipSpace(text, 0)
	if start >= len(text) || text[start] != '{' {
		if at, _, f := scanText(text); f != sound {
			return false, syntaxError(at, f)
		}
		return false, nil
	}
	end, f := k.scanInto(text, start, depth, m)
	if f != sound {
		return false, syntaxError(end, f)
	}
	if rest := skipSpace(text, end); rest != len(text) {
		return false, syntaxError(rest, faultTrailing)
	}
	return true, nil
}
