package main

import (
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// TestExpires is the table of iam.md section 5.10: what the service would store as
// an instant is sent as it is, anything else is refused before a key is made.
func TestExpires(t *testing.T) {
	for text, fine := range map[string]bool{
		"2099-01-01":                  true,
		"2099-01-01T00:00":            true,
		"20990101T000000Z":            true,
		"2099-W01":                    true,
		"2099-01-01 10:00:00-05:30":   true,
		"2099-01-01T12:34:56.123456Z": true,
		"2001-01-01":                  true,
		"never":                       false,
		"1":                           false,
		"4102444800":                  false,
		"2099/01/01":                  false,
		"2099-01":                     false,
		"2099-01-01T24:00:00Z":        false,
		"2099-01-01T00:00:00z":        false,
		" 2099-01-01":                 false,
	} {
		s := newStub(t, ok(`{"api_key_plaintext":"k"}`))
		got := at(s).calls("tg-create-api-key", "--user-id", "u", "--name", "n", "--expires", text)
		if fine && (got.code != exitOK || !strings.Contains(s.last(t).body, `"expires":"`+text+`"`)) {
			t.Errorf("%q: %+v", text, got)
		}
		want := "Exception: --expires " + text + " is not an ISO 8601 date or time such as 2099-12-31\n"
		if !fine && (got != outcome{"", want, exitFailure} || s.count() != 0) {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// TestISOTimeAsTheService: the service has the instants that Python 3.11 reads, and
// a dash for what it refuses.
func TestISOTimeAsTheService(t *testing.T) {
	data, err := os.ReadFile("../../iam/testdata/isotime.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(data)) {
		text, instant, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if n++; isISOTime(text) != (instant != "-") {
			t.Errorf("%q: %v, but the service has %s", text, isISOTime(text), instant)
		}
	}
	if n < 500 {
		t.Fatalf("only %d cases", n)
	}
}

func FuzzISOTime(f *testing.F) {
	for _, seed := range []string{"2099-01-01", "2099-W01-1T10:30:15.5+01:00", "2099W0110", "2099-01-01é1", "2099-W", "", "2096-02-29 23:59:59", "2099-02-29T24:00:00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) < 10 || text[4] != '-' || text[5] == 'W' {
			_ = isISOTime(text) // no panic
			return
		}
		day := text[:10]
		if _, err := time.Parse(time.DateOnly, day); isISOTime(day) != (err == nil && day[:4] != "0000") {
			t.Fatalf("the date %q: %v, but to Go %v", day, isISOTime(day), err)
		}
		if text == day {
			return
		}
		// A day and a time are understood together when each of them is.
		_, separator := utf8.DecodeRuneInString(text[10:])
		at := text[10+separator:]
		clock := isISOTime("2000-01-01T" + at)
		if isISOTime(text) != (isISOTime(day) && clock) {
			t.Fatalf("%q: %v", text, isISOTime(text))
		}
		if len(at) == 8 && at[2] == ':' && at[5] == ':' {
			if _, err := time.Parse(time.TimeOnly, at); clock != (err == nil) {
				t.Fatalf("the time %q: %v, but to Go %v", at, clock, err)
			}
		}
	})
}
