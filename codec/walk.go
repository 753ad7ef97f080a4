package codec

import "iter"

// Elements yields the elements of an array value in order. Other values have none.
func (v Value) Elements() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if v.Raw == nil || v.Raw[0] != '[' {
			return
		}
		b := v.Raw
		for i := skipSpace(b, 1); b[i] != ']'; {
			end := endOfValue(b, i)
			if !yield(Value{b[i:end:end]}) {
				return
			}
			i = nextElement(b, end)
		}
	}
}

// Members yields the members of an object value in order, also those whose name
// comes again: the name, which is a string value, and the value. Other values
// have none.
func (v Value) Members() iter.Seq2[Value, Value] {
	return func(yield func(name, value Value) bool) {
		if !v.IsObject() {
			return
		}
		b := v.Raw
		for i := skipSpace(b, 1); b[i] != '}'; {
			nameEnd := endOfString(b, i+1)
			value := skipSpace(b, skipSpace(b, nameEnd)+1)
			end := endOfValue(b, value)
			if !yield(Value{b[i:nameEnd:nameEnd]}, Value{b[value:end:end]}) {
				return
			}
			i = nextElement(b, end)
		}
	}
}

// Len is how many elements an array has, or members an object. Other values have
// none.
func (v Value) Len() int {
	n := 0
	for range v.Elements() {
		n++
	}
	for range v.Members() {
		n++
	}
	return n
}
