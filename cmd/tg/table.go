package main

import (
	"fmt"
	"io"
	"strings"
	"unicode"
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
func printTable(out *sink, columns []column, records []record) {
	header := make([][]string, len(columns))
	for i, c := range columns {
		header[i] = []string{c.header}
	}
	rows := [][][]string{header}
	for _, r := range records {
		row := make([][]string, len(columns))
		for i, c := range columns {
			row[i] = lines(out, c.cell(r))
		}
		rows = append(rows, row)
	}
	printRows(out, rows)
}

var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// lines are the lines of a cell as out shows them, without the blanks around all.
func lines(out *sink, text string) []string {
	list := strings.Split(lineEnds.Replace(strings.TrimSpace(text)), "\n")
	for i := range list {
		list[i] = out.shown(list[i])
	}
	return list
}

// printRows prints a table whose first row is the header. A cell is a list of lines.
func printRows(out io.Writer, rows [][][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			for _, line := range cell {
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
func appendRow(b *strings.Builder, row [][]string, widths []int) {
	for line, more := 0, true; more; line++ {
		more = false
		for i, cell := range row {
			text := ""
			if line < len(cell) {
				text = cell[line]
			}
			more = more || line+1 < len(cell)
			b.WriteString("| " + text + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text)+1))
		}
		b.WriteString("|\n")
	}
}

// printFields prints one record, a field behind each label, as TrustGraph prints a
// user. what names the record when there is none.
func printFields(out *sink, what string, columns []column, r record) {
	if len(r) == 0 {
		fmt.Fprintf(out, "(no %s record returned)\n", what)
		return
	}
	width := 0
	for _, c := range columns {
		width = max(width, len(c.header))
	}
	for _, c := range columns {
		label := c.header
		for _, line := range lines(out, c.cell(r)) {
			fmt.Fprintln(out, strings.TrimRightFunc(fmt.Sprintf("%-*s  %s", width, label, line), unicode.IsSpace))
			label = ""
		}
	}
}
