package iam

import (
	"fmt"
	"strings"
	"unicode"
)

// maxLiteralRunes bounds how much of a caller's text an error repeats.
const maxLiteralRunes = 200

// pythonLiteral writes s as Python's repr does: the contract quotes unknown
// operations that way. Very long text is cut.
func pythonLiteral(s string) string {
	quote := '\''
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	var out strings.Builder
	out.WriteRune(quote)
	written := 0
	for _, r := range s {
		if written++; written > maxLiteralRunes {
			out.WriteString("...")
			break
		}
		writeLiteralRune(&out, r, quote)
	}
	out.WriteRune(quote)
	return out.String()
}

func writeLiteralRune(out *strings.Builder, r, quote rune) {
	switch {
	case r == quote || r == '\\':
		out.WriteRune('\\')
		out.WriteRune(r)
	case r == '\n':
		out.WriteString(`\n`)
	case r == '\r':
		out.WriteString(`\r`)
	case r == '\t':
		out.WriteString(`\t`)
	case unicode.IsPrint(r):
		out.WriteRune(r)
	case r <= 0xff:
		fmt.Fprintf(out, `\x%02x`, r)
	case r <= 0xffff:
		fmt.Fprintf(out, `\u%04x`, r)
	default:
		fmt.Fprintf(out, `\U%08x`, r)
	}
}
