package iam

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestParseISOTime compares with what Python 3.11's fromisoformat made of the
// same texts: testdata/isotime.txt has a text, a tab and the instant in UTC, or
// a dash where Python refuses.
func TestParseISOTime(t *testing.T) {
	data, err := os.ReadFile("testdata/isotime.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if len(lines) < 500 {
		t.Fatalf("only %d cases", len(lines))
	}
	for _, line := range lines {
		text, want, _ := strings.Cut(line, "\t")
		got := "-"
		if instant, err := parseISOTime(text); err == nil {
			got = instant.UTC().Format("2006-01-02T15:04:05.000000+00:00")
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestStamp(t *testing.T) {
	zone := time.FixedZone("", 3600)
	for want, instant := range map[string]time.Time{
		"":                                 {},
		"2026-11-21T17:31:31+00:00":        time.Date(2026, 11, 21, 18, 31, 31, 999_999, zone),
		"2026-11-21T17:31:31.890000+00:00": time.Date(2026, 11, 21, 17, 31, 31, 890_999_999, time.UTC),
		"2026-11-21T17:31:31.001000+00:00": time.Date(2026, 11, 21, 17, 31, 31, 1_000_000, time.UTC),
	} {
		if got := stamp(instant); got != want {
			t.Errorf("stamp(%v) = %q, want %q", instant, got, want)
		}
	}
}

func FuzzParseISOTime(f *testing.F) {
	for _, seed := range []string{"2099-01-01", "2099-W01-1T10:30:15.5+01:00", "2099W0110", "2099-01-01é1", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		instant, err := parseISOTime(text)
		if err != nil {
			return
		}
		again, err := parseISOTime(instant.UTC().Format("2006-01-02T15:04:05.000000+00:00"))
		if instant.UTC().Year() >= 1 && instant.UTC().Year() <= 9999 && (err != nil || !again.Equal(instant)) {
			t.Fatalf("%q: %v, then %v, %v", text, instant, again, err)
		}
	})
}
