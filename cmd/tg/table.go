package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// column is a header and how its cell is made of a record.
type column struct {
	header string
	cell   func(record) string
}

func plain(name string) func(record) string { return func(r record) string { return r.text(name) } }

func or(name, empty string) func(record) string {
	return func(r record) string {
		if text := r.text(name); text != "" {
			return text
		}
		return empty
	}
}

func yesNo(name string) func(record) string {
	return func(r record) string {
		if r.yes(name) {
			return "yes"
		}
		return "no"
	}
}

func joined(name string) func(record) string {
	return func(r record) string { return strings.Join(r.texts(name), ", ") }
}

// printTable prints records in the order given. The layout is part of the
// contract; a width counts code points.
func printTable(out io.Writer, columns []column, records []record) {
	header := make([]string, len(columns))
	for i, c := range columns {
		header[i] = c.header
	}
	rows := [][]string{header}
	for _, r := range records {
		row := make([]string, len(columns))
		for i, c := range columns {
			row[i] = c.cell(r)
		}
		rows = append(rows, row)
	}
	printRows(out, rows)
}

// printFields prints one record with a row for every field that says something: a
// gateway that was asked with an API key does not know its owner's name.
func printFields(out io.Writer, columns []column, r record) {
	rows := [][]string{{"field", "value"}}
	for _, c := range columns {
		if text := c.cell(r); text != "" {
			rows = append(rows, []string{c.header, text})
		}
	}
	printRows(out, rows)
}

// printRows prints a table whose first row is the header. Blanks around a cell's
// text are left out.
func printRows(out io.Writer, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			cell = strings.ReplaceAll(strings.TrimSpace(cell), "\r\n", "\n")
			row[i] = cell
			for line := range strings.SplitSeq(cell, "\n") {
				widths[i] = max(widths[i], utf8.RuneCountInString(line))
			}
		}
	}
	var b strings.Builder
	rule := func() {
		for _, w := range widths {
			b.WriteString("+" + strings.Repeat("-", w+2))
		}
		b.WriteString("+\n")
	}
	rule()
	for i, row := range rows {
		appendRow(&b, row, widths)
		if i == 0 {
			rule()
		}
	}
	if len(rows) > 1 {
		rule()
	}
	fmt.Fprint(out, b.String())
}

// appendRow appends a row, as high as the cell with the most lines.
func appendRow(b *strings.Builder, row []string, widths []int) {
	for line, more := 0, true; more; line++ {
		more = false
		for i, cell := range row {
			lines := strings.Split(cell, "\n")
			text := ""
			if line < len(lines) {
				text = lines[line]
			}
			more = more || line+1 < len(lines)
			b.WriteString("| " + text + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text)+1))
		}
		b.WriteString("|\n")
	}
}
