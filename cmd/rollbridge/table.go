package main

import (
	"io"
	"strings"
	"unicode/utf8"
)

// A cell is a piece of text and how it is painted.
type cell struct {
	text  string
	paint func(string) string // nil leaves it plain
}

// writeTable writes rows with their columns aligned, none wider than the
// screen. A column that is empty in every row takes no room.
func (s *screen) writeTable(rows [][]cell) error {
	var widths []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		b.WriteString(s.tableRow(row, widths))
		b.WriteByte('\n')
	}
	_, err := io.WriteString(s, b.String())
	return err
}

// tableRow paints one row. Spaces are owed, and paid only before more text, so
// that no line ends with any.
func (s *screen) tableRow(row []cell, widths []int) string {
	var b strings.Builder
	column, owed := 0, 0
	for i, c := range row {
		if widths[i] == 0 {
			continue
		}
		text := c.text
		if s.width > 0 {
			text = cut(text, max(1, s.width-column-owed))
		}
		if room := s.width == 0 || column+owed < s.width; text != "" && room {
			b.WriteString(strings.Repeat(" ", owed) + painted(c, text))
			column, owed = column+owed+utf8.RuneCountInString(text), 0
		}
		owed += max(0, widths[i]-utf8.RuneCountInString(text)) + 2
	}
	return b.String()
}

func painted(c cell, text string) string {
	if c.paint == nil {
		return text
	}
	return c.paint(text)
}

// A block is a title line and the table below it.
type block struct {
	title []cell
	rows  [][]cell
}

// writeBlocks writes blocks with an empty line between; those without a title
// are left out.
func (s *screen) writeBlocks(blocks []block) error {
	gap := ""
	for _, b := range blocks {
		if b.title == nil {
			continue
		}
		if _, err := io.WriteString(s, gap); err != nil {
			return err
		}
		if err := s.writeTable([][]cell{b.title}); err != nil {
			return err
		}
		if err := s.writeTable(b.rows); err != nil {
			return err
		}
		gap = "\n"
	}
	return nil
}
