package runner

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/systemd"
)

// Writer is a process that has written to the journal at any time.
type Writer struct {
	Instance, Release string
	Generation        int
	identifier        string
}

// Writers lists who of an application has written.
func (j *Journal) Writers(ctx context.Context, application string) ([]Writer, error) {
	identifiers, err := j.journal.Values(ctx, "SYSLOG_IDENTIFIER")
	if err != nil {
		return nil, err
	}
	slices.Sort(identifiers)
	var all []Writer
	for _, identifier := range identifiers {
		if w, ok := parseWriter(application, identifier); ok {
			all = append(all, w)
		}
	}
	return all, nil
}

// parseWriter reads a gate.Identifier. Neither instances nor releases have an @
// or a + in their names.
func parseWriter(application, identifier string) (Writer, bool) {
	name, ours := strings.CutPrefix(identifier, application+".")
	instance, release, found := strings.Cut(name, "@")
	release, number, numbered := strings.Cut(release, "+")
	generation, err := strconv.Atoi(number)
	if !numbered {
		generation, err = 1, nil
	}
	w := Writer{Instance: instance, Release: release, Generation: generation, identifier: identifier}
	return w, ours && found && err == nil && generation > 0 && instance != "" && config.ValidID(release)
}

// Tail is the newest lines that writers have written, mixed as they came.
func (j *Journal) Tail(ctx context.Context, writers []Writer, w Window) ([]Line, error) {
	q := linesOf(writers)
	q.Since, q.Limit = w.Since, w.Lines
	entries, err := j.journal.Read(ctx, q)
	if err != nil {
		return nil, err
	}
	lines := make([]Line, len(entries))
	for i, e := range entries {
		lines[i] = lineOf(e)
	}
	return lines, nil
}

// FollowWriters tells those lines and further ones, until ctx ends or tell
// returns an error, which is the answer.
func (j *Journal) FollowWriters(ctx context.Context, writers []Writer, w Window, tell func(Writer, Line) error) error {
	known := map[string]Writer{}
	for _, writer := range writers {
		known[writer.identifier] = writer
	}
	q := linesOf(writers)
	q.Since, q.Limit = w.Since, w.Lines
	return j.journal.Follow(ctx, q, func(e systemd.Entry) error {
		return tell(known[e.Field("SYSLOG_IDENTIFIER")], lineOf(e))
	})
}

func linesOf(writers []Writer) systemd.Query {
	identifiers := make([]string, len(writers))
	for i, w := range writers {
		identifiers[i] = w.identifier
	}
	return linesUnder(identifiers)
}
