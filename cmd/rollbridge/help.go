package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/pflag"
)

func helpCommand() *command {
	return &command{
		name:      "help",
		synopsis:  "[command]",
		short:     "Explain rollbridge, or one command",
		long:      "Prints the list of commands, or the options of one command with an example.",
		example:   "rollbridge help deploy",
		arguments: 1,
		run: func(_ context.Context, e *env, args []string) error {
			text := usage()
			if len(args) == 1 {
				c, err := find(args[0])
				if err != nil {
					return err
				}
				text = c.help()
			}
			_, err := io.WriteString(e.Stdout, text)
			return err
		},
	}
}

// usage is the help text of the program.
func usage() string {
	var b strings.Builder
	b.WriteString(`Usage: rollbridge <command> [options]

Runs the processes of a web application and moves its traffic from one release
to the next without dropping a request.

Commands:
`)
	var rows [][2]string
	for _, c := range commands() {
		rows = append(rows, [2]string{c.name, c.short})
	}
	writeRows(&b, rows)
	b.WriteString(`
Options:
  -h, --help  explain rollbridge, or after a command that command
  --version   same as the command version

Exit codes: 0 done, 1 failed or problems found, 2 wrong usage, 3 no daemon there.

Example:
  rollbridge deploy --release-path /srv/shop/releases/42
`)
	return b.String()
}

// help is the help text of the command.
func (c *command) help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s\n\n%s\n\nOptions:\n", strings.TrimSpace("rollbridge "+c.name+" "+c.synopsis), c.long)
	var rows [][2]string
	c.flagSet().VisitAll(func(f *pflag.Flag) {
		_, text := optionUsage(f)
		rows = append(rows, [2]string{optionName(f), text})
	})
	rows = append(rows, [2]string{"-h, --help", "explain this command"})
	writeRows(&b, rows)
	fmt.Fprintf(&b, "\nExample:\n  %s\n", strings.ReplaceAll(c.example, "\n", "\n  "))
	return b.String()
}

// writeRows writes two aligned columns.
func writeRows(w io.Writer, rows [][2]string) {
	width := 0
	for _, r := range rows {
		width = max(width, utf8.RuneCountInString(r[0]))
	}
	for _, r := range rows {
		fmt.Fprintf(w, "  %s  %s\n", pad(r[0], width), r[1])
	}
}
