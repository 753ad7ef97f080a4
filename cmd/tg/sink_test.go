package main

import "testing"

func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "",
		"Zoë 漢字 \u2028 \u00a0 ~\n\t": "Zoë 漢字 \u2028 \u00a0 ~\n\t",
		"\x1b]0;title\x07":           `\x1b]0;title\x07`,
		"\x00\b\v\f\x1f\x7f":         `\x00\x08\x0b\x0c\x1f\u007f`,
		"\u0080\u009b31m\u009f":      `\u0080\u009b31m\u009f`,
		"\x9b31m \xff é\xc3":         `\x9b31m \xff é\xc3`,
		"page\r\nover\rwritten\r":    "page\nover" + `\x0dwritten\x0d`,
	} {
		if got := visible(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
		if got := visible(visible(text)); got != want {
			t.Errorf("%q becomes %q at last", text, got)
		}
	}
}
