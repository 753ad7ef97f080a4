package iam

import (
	"errors"
	"strings"
	"time"
	"unicode/utf8"
)

// errNotISO is the error for text that is no ISO 8601 date or time.
var errNotISO = errors.New("not an ISO 8601 date or time")

// parseISOTime reads what Python 3.11's datetime.fromisoformat reads, which is
// what clients were written against: calendar and week dates, with and without
// separators, any one character before the time. Without an offset it is UTC.
// Marks that Python overlooks in odd places, such as a colon before the offset,
// are refused.
func parseISOTime(text string) (time.Time, error) {
	cut, ok := dateLength(text)
	if !ok {
		return time.Time{}, errNotISO
	}
	day, ok := parseISODate(text[:cut])
	if !ok {
		return time.Time{}, errNotISO
	}
	if cut == len(text) {
		return day, nil
	}
	_, size := utf8.DecodeRuneInString(text[cut:])
	sinceMidnight, offset, ok := parseISOClock(text[cut+size:])
	if !ok {
		return time.Time{}, errNotISO
	}
	return day.Add(sinceMidnight - offset), nil
}

// dateLength is where the date ends. Week dates make that a guess; it is
// Python's, so that both read the same.
func dateLength(s string) (int, bool) {
	switch {
	case len(s) < 7:
		return 0, false
	case len(s) == 7:
		return 7, true
	case s[4] == '-' && s[5] == 'W':
		if len(s) == 8 || s[8] != '-' {
			return 8, true
		}
		if len(s) == 9 {
			return 0, false
		}
		if len(s) > 10 && isDigit(s[10]) {
			return 8, true
		}
		return 10, true
	case s[4] == '-':
		return 10, len(s) >= 10
	case s[4] == 'W':
		return weekDateLength(s), true
	}
	return 8, true
}

// weekDateLength tells YYYYWww (7) from YYYYWwwd (8) by the digits after it: a
// time has an even number of them.
func weekDateLength(s string) int {
	digits := 7
	for digits < len(s) && isDigit(s[digits]) {
		digits++
	}
	switch {
	case digits < 9:
		return digits
	case digits%2 == 0:
		return 7
	}
	return 8
}

func parseISODate(s string) (time.Time, bool) {
	year, ok := digits(s, 0, 4)
	if !ok || year < 1 {
		return time.Time{}, false
	}
	separated := s[4] == '-'
	rest := s[4:]
	if separated {
		rest = s[5:]
	}
	if rest[0] == 'W' {
		return parseWeekDate(year, rest[1:], separated)
	}
	if separated {
		if len(rest) != 5 || rest[2] != '-' {
			return time.Time{}, false
		}
		rest = rest[:2] + rest[3:]
	}
	month, okMonth := digits(rest, 0, 2)
	dayOfMonth, okDay := digits(rest, 2, 4)
	if !okMonth || !okDay || len(rest) != 4 {
		return time.Time{}, false
	}
	t := time.Date(year, time.Month(month), dayOfMonth, 0, 0, 0, 0, time.UTC)
	// time.Date carries the 31st of February over into March.
	return t, t.Month() == time.Month(month) && t.Day() == dayOfMonth
}

func parseWeekDate(year int, s string, separated bool) (time.Time, bool) {
	week, ok := digits(s, 0, 2)
	if !ok {
		return time.Time{}, false
	}
	weekday := 1
	if s = s[2:]; s != "" {
		if separated {
			if s[0] != '-' {
				return time.Time{}, false
			}
			s = s[1:]
		}
		if weekday, ok = digits(s, 0, 1); !ok || len(s) != 1 {
			return time.Time{}, false
		}
	}
	if week < 1 || weekday < 1 || weekday > 7 {
		return time.Time{}, false
	}
	// The fourth of January is always in week 1.
	fourth := time.Date(year, time.January, 4, 0, 0, 0, 0, time.UTC)
	monday := fourth.AddDate(0, 0, -(int(fourth.Weekday())+6)%7)
	t := monday.AddDate(0, 0, 7*(week-1)+weekday-1)
	gotYear, gotWeek := t.ISOWeek()
	return t, gotYear == year && gotWeek == week && t.Year() >= 1
}

// parseISOClock reads a time of day and an optional offset from UTC.
func parseISOClock(s string) (sinceMidnight, offset time.Duration, ok bool) {
	clock, zone := s, ""
	if i := strings.IndexAny(s, "+-Z"); i >= 0 {
		clock, zone = strings.TrimSuffix(s[:i], " "), s[i:]
	}
	sinceMidnight, ok = parseHMS(clock)
	if !ok || sinceMidnight >= 24*time.Hour {
		return 0, 0, false
	}
	switch {
	case zone == "" || zone == "Z":
		return sinceMidnight, 0, true
	case zone[0] == 'Z':
		return 0, 0, false
	}
	offset, ok = parseHMS(zone[1:])
	if zone[0] == '-' {
		offset = -offset
	}
	return sinceMidnight, offset, ok && offset.Abs() < 24*time.Hour
}

// parseHMS reads HH, HH:MM or HH:MM:SS, or the same without colons, each with or
// without a fraction of a second.
func parseHMS(s string) (time.Duration, bool) {
	var total time.Duration
	separated := len(s) > 2 && s[2] == ':'
	for i, unit := range [...]time.Duration{time.Hour, time.Minute, time.Second} {
		n, ok := digits(s, 0, 2)
		if !ok || i > 0 && n > 59 || i == 0 && n > 23 {
			return 0, false
		}
		total += time.Duration(n) * unit
		s = s[2:]
		if s == "" {
			return total, true
		}
		if i == 2 || s[0] == '.' || s[0] == ',' {
			break
		}
		if separated {
			if s[0] != ':' {
				return 0, false
			}
			s = s[1:]
		}
	}
	fraction, ok := parseFraction(s)
	return total + fraction, ok
}

// parseFraction reads a decimal mark and the digits after it; those beyond
// microseconds are dropped.
func parseFraction(s string) (time.Duration, bool) {
	if len(s) < 2 || s[0] != '.' && s[0] != ',' {
		return 0, false
	}
	out, unit := time.Duration(0), 100*time.Millisecond
	for i := 1; i < len(s); i++ {
		if !isDigit(s[i]) {
			return 0, false
		}
		if i <= 6 {
			out += time.Duration(s[i]-'0') * unit
			unit /= 10
		}
	}
	return out, true
}

// digits reads s[from:to] as a number; nothing but ASCII digits will do.
func digits(s string, from, to int) (int, bool) {
	if len(s) < to {
		return 0, false
	}
	n := 0
	for i := from; i < to; i++ {
		if !isDigit(s[i]) {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
