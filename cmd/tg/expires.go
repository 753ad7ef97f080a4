package main

import (
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

var (
	calendarDate = regexp.MustCompile(`^(\d{4})-?(\d\d)-?(\d\d)$`)
	weekDate     = regexp.MustCompile(`^(\d{4})-?W(\d\d)-?([1-7]?)$`)
	// Hours, or hours and minutes, or all three, then a fraction.
	clockTime  = regexp.MustCompile(`^([01]\d|2[0-3])(:[0-5]\d(:[0-5]\d)?|[0-5]\d([0-5]\d)?)?([.,]\d+)?$`)
	separators = regexp.MustCompile(`^\d{4}-(\d\d-\d\d|W\d\d(-\d)?)$|^[^-]*$`)
)

// isISOTime reports whether the service understands text as an instant: what
// Python 3.11's datetime.fromisoformat reads.
func isISOTime(text string) bool {
	cut := dateLength(text)
	if cut < 0 || cut > len(text) || !isDate(text[:cut]) {
		return false
	}
	if cut == len(text) {
		return true
	}
	_, separator := utf8.DecodeRuneInString(text[cut:]) // any one character
	return isClock(text[cut+separator:])
}

// dateLength is where the date ends; negative when there is none. A time may
// follow a week date after any character, a digit too, so that this is a guess. It
// is Python's.
func dateLength(s string) int {
	switch {
	case len(s) < 7:
		return -1
	case len(s) == 7:
		return 7
	case s[4:6] == "-W" && len(s) > 8 && s[8] == '-':
		if len(s) == 9 {
			return -1
		}
		if len(s) > 10 && isDigit(s[10]) {
			return 8
		}
		return 10
	case s[4:6] == "-W":
		return 8
	case s[4] == '-':
		return 10
	case s[4] == 'W':
		return weekDateLength(s)
	}
	return 8
}

// weekDateLength tells YYYYWww from YYYYWwwd by the digits behind it: a time has an
// even number of them.
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

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isDate(s string) bool {
	if !separators.MatchString(s) {
		return false
	}
	if m := calendarDate.FindStringSubmatch(s); m != nil {
		_, err := time.Parse(time.DateOnly, m[1]+"-"+m[2]+"-"+m[3])
		return err == nil && m[1] != "0000"
	}
	m := weekDate.FindStringSubmatch(s)
	return m != nil && isWeek(m[1], m[2], m[3])
}

// isWeek reports whether a year has that week and the calendar has its day.
func isWeek(year, week, weekday string) bool {
	fourth, err := time.Parse(time.DateOnly, year+"-01-04") // always in week 1
	if err != nil || year == "0000" || week == "00" {
		return false
	}
	n := int(week[0]-'0')*10 + int(week[1]-'0')
	day := fourth.AddDate(0, 0, 7*(n-1)-(int(fourth.Weekday())+6)%7)
	gotYear, gotWeek := day.ISOWeek()
	if weekday != "" {
		day = day.AddDate(0, 0, int(weekday[0]-'1'))
	}
	return gotYear == fourth.Year() && gotWeek == n && day.Year() >= 1
}

// isClock reports whether s is a time of day, perhaps with an offset from UTC.
func isClock(s string) bool {
	at := strings.IndexAny(s, "+-Z")
	if at < 0 {
		return clockTime.MatchString(s)
	}
	zone := s[at:]
	return clockTime.MatchString(strings.TrimSuffix(s[:at], " ")) && (zone == "Z" || zone[0] != 'Z' && clockTime.MatchString(zone[1:]))
}
