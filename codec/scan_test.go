package codec

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func nested(open, inner, end string, n int) string {
	return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
}

func TestScanAccepts(t *testing.T) {
	for _, text := range []string{
		`null`, `true`, `false`, `0`, `-0`, `-1.5e+10`, `1E5`, `0.0`, `""`, `"é\u00e9\ud83d\ude00\ud83d"`, `[]`, `{}`,
		" \t\r\n[ 1 , 2 ] \n", `{"":{"":[]}}`, `{"a":1,"a":2}`, `"\u0000\/\b\f\n\r\t\"\\"`, "\"\x7f\u2028\U0010ffff\"",
		`1e308`, `1e-999`, `0e999`, `0.` + strings.Repeat("0", 400) + `1`,
		strings.Repeat("9", maxIntegerDigits), "-" + strings.Repeat("9", maxIntegerDigits),
		strings.Repeat("1", 300) + ".5",
		nested("[", "", "]", maxNesting), nested(`{"a":`, "1", "}", maxNesting),
	} {
		v, err := ParseValue([]byte(text))
		if err != nil {
			t.Errorf("%.60q: %v", text, err)
		} else if string(v.Raw) != strings.Trim(text, " \t\r\n") {
			t.Errorf("%.60q: value %.60q", text, v.Raw)
		}
	}
}

func TestScanRefuses(t *testing.T) {
	for _, c := range []struct {
		text   string
		offset int
		fault  fault
	}{
		{"", 0, faultValue}, {"  ", 2, faultValue}, {"nul", 0, faultValue}, {"True", 0, faultValue},
		{"NaN", 0, faultValue}, {"Infinity", 0, faultValue}, {"-Infinity", 0, faultValue}, {"[-]", 1, faultValue},
		{"+1", 0, faultValue}, {".5", 0, faultValue}, {"01", 0, faultValue}, {"-01", 0, faultValue},
		{"1.", 2, faultValue}, {"1.e5", 2, faultValue}, {"1e", 2, faultValue}, {"1e+", 3, faultValue}, {"0x1", 1, faultTrailing},
		{"1 2", 2, faultTrailing}, {"{}x", 2, faultTrailing}, {"\ufeff1", 0, faultValue}, {"1\x00", 1, faultTrailing},
		{"1e999", 0, faultOverflow}, {"[0,-1e309]", 3, faultOverflow}, {"1" + strings.Repeat("0", 400) + ".0", 0, faultOverflow},
		{strings.Repeat("9", maxIntegerDigits+1), 0, faultLongInteger},
		{`{"a":` + strings.Repeat("9", maxIntegerDigits+1) + `}`, 5, faultLongInteger},
		{"[1,]", 3, faultValue}, {"[1 2]", 3, faultArrayComma}, {"[", 1, faultValue}, {"[1", 2, faultArrayComma}, {"]", 0, faultValue},
		{"{,}", 1, faultName}, {`{"a":1,}`, 7, faultName}, {`{"a"}`, 4, faultColon}, {`{"a":}`, 5, faultValue},
		{`{"a":1 "b":2}`, 7, faultObjectComma}, {`{"a":1`, 6, faultObjectComma}, {`{a:1}`, 1, faultName}, {`{'a':1}`, 1, faultName},
		{`"abc`, 4, faultUnterminated}, {`"abcdefghijk`, 12, faultUnterminated}, {`"\"`, 3, faultUnterminated},
		{"\"a\nb\"", 2, faultControl}, {"\"12345678\x1f\"", 9, faultControl}, {"\"\x00\"", 1, faultControl},
		{`"\x"`, 1, faultEscape}, {`"\u12g4"`, 1, faultEscape}, {`"\u12"`, 1, faultEscape}, {`"\`, 1, faultEscape}, {`"\'"`, 1, faultEscape},
		{"\"\xff\"", 1, faultUTF8}, {"\"\xc0\x80\"", 1, faultUTF8}, {"\"\xed\xa0\x80\"", 1, faultUTF8}, {"\"é\xe9\"", 3, faultUTF8},
		{"\"\xf4\x90\x80\x80\"", 1, faultUTF8}, {"\"\xe0\x80\x80\"", 1, faultUTF8}, {"\"\xe4\xbd", 1, faultUTF8}, {"{\"\xff\":1}", 2, faultUTF8},
		{nested("[", "", "]", maxNesting+1), maxNesting, faultNesting},
		{`{"a":` + nested("[", "", "]", maxNesting) + `}`, 5 + maxNesting - 1, faultNesting},
		{nested("[", "", "", 1<<20), maxNesting, faultNesting},
		{`// no comments` + "\n1", 0, faultValue},
	} {
		_, err := ParseValue([]byte(c.text))
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%.40q: %v", c.text, err)
			continue
		}
		if syntax.Offset != c.offset || syntax.Reason != reasons[c.fault] {
			t.Errorf("%.40q: %v, want %q at %d", c.text, err, reasons[c.fault], c.offset)
		}
		// Whatever is refused at the top is refused in a member that nobody knows.
		if c.fault == faultTrailing || c.fault == faultUnterminated || c.fault == faultEscape || c.fault == faultUTF8 {
			continue
		}
		if _, err := AppendRequest(nil, Rows, []byte(`{"unknown":`+c.text+`}`)); err == nil {
			t.Errorf("%.40q: accepted in an unknown member", c.text)
		}
	}
}

// agrees reports whether scanText may say what it says about a text, seen from
// encoding/json: we are the stricter one in known ways only.
func agrees(text []byte) bool {
	start, end, f := scanText(text)
	valid := json.Valid(text)
	switch f {
	case sound:
		return valid && utf8.Valid(text) && json.Valid(text[start:end])
	case faultUTF8:
		return !utf8.Valid(text)
	case faultNesting, faultLongInteger, faultOverflow:
		return true
	}
	// The other faults are faults for everyone.
	return !valid
}

func TestScanAgreesWithEncodingJSON(t *testing.T) {
	bits := []string{"{", "}", "[", "]", ",", ":", `"a"`, `"`, "1", "-", ".", "e", "null", " ", `\`, "\xff", "0"}
	var try func(text string, depth int)
	try = func(text string, depth int) {
		if !agrees([]byte(text)) {
			_, _, f := scanText([]byte(text))
			t.Errorf("%q: fault %q, encoding/json says %v", text, reasons[f], json.Valid([]byte(text)))
		}
		if depth > 0 {
			for _, bit := range bits {
				try(text+bit, depth-1)
			}
		}
	}
	try("", 4)
}

// TestTrustedSkipping: the functions for valid text find the ends that scanning finds.
func TestTrustedSkipping(t *testing.T) {
	for _, v := range loadVectors(t) {
		for _, text := range [][]byte{v.In, v.Out} {
			if len(text) == 0 {
				continue
			}
			padded := append(append([]byte(nil), text...), ", \"]}[{\\"...)
			if end := endOfValue(padded, 0); end != len(text) {
				t.Errorf("%s: end at %d of %d: %s", v.Name, end, len(text), text)
			}
		}
	}
}
