package iam

import "time"

// stored cuts t to what stores keep: UTC, whole milliseconds.
func stored(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// Expiry is an end as records have it. To them the first instant of the calendar
// is none, so that becomes the next one.
func Expiry(t time.Time) time.Time {
	if t = stored(t); t.IsZero() {
		return t.Add(time.Millisecond)
	}
	return t
}

// stamp is a time as callers see it (iam.md section 3.3). The zero time is "".
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	t = stored(t)
	if t.Nanosecond() == 0 {
		return t.Format("2006-01-02T15:04:05+00:00")
	}
	return t.Format("2006-01-02T15:04:05.000000+00:00")
}

// stampSeconds is stamp for an instant that a token holds: whole seconds.
func stampSeconds(t time.Time) string { return stamp(t.Truncate(time.Second)) }
