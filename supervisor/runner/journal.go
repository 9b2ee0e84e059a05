package runner

import (
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/gate"
	"rollbridge/supervisor/systemd"
)

// Journal reads what processes have written to the journal by themselves: lines
// on the streams that the gate opens for them. Lines are known by their
// identifier, gate.Identifier, not by their unit, which is another one at each
// start of a web process. Anybody may use such an identifier, so journald must
// vouch for the line: it comes from one of our units, or from this user.
type Journal struct{ journal *systemd.Journal }

// NewJournal returns the output in a journal.
func NewJournal(journal *systemd.Journal) *Journal { return &Journal{journal} }

// lineFields are what a line is made from.
var lineFields = []string{"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "_SYSTEMD_UNIT", "_UID"}

// linesUnder asks for everything written under the identifiers.
func linesUnder(identifiers []string) systemd.Query {
	q := systemd.Query{Fields: lineFields, Keep: isOurs}
	if len(identifiers) == 0 {
		return q
	}
	alternatives := make([]systemd.Match, len(identifiers))
	for i, identifier := range identifiers {
		alternatives[i] = systemd.Match{Field: "SYSLOG_IDENTIFIER", Value: identifier}
	}
	q.Any = [][]systemd.Match{alternatives}
	return q
}

var ownUID = strconv.Itoa(os.Geteuid())

func isOurs(e systemd.Entry) bool {
	return strings.HasPrefix(e.Field("_SYSTEMD_UNIT"), "rollbridge-") || e.Field("_UID") == ownUID
}

// lineOf is a line as it was written, its time that of its arrival.
func lineOf(e systemd.Entry) Line {
	stream := "stdout"
	if e.Field("PRIORITY") == "3" {
		stream = "stderr"
	}
	text := strings.TrimSuffix(e.Field("MESSAGE"), "\r")
	return Line{At: e.Time, Stream: stream, Text: strings.ToValidUTF8(text, string(utf8.RuneError))}
}

// journalOutput is the output of one process in the journal. It begins when the
// process was first made, so that a later process of the same name is another.
type journalOutput struct {
	journal *Journal
	born    time.Time

	mu          sync.Mutex // guards what follows
	identifiers []string   // of all instances so far, and of the next one
	kept        int        // lines that it shows when nobody says how many
}

// newJournalOutput is the output since born, under the identifiers of the given
// definitions: that of the instance that runs, and that of the next one.
func newJournalOutput(journal *Journal, born time.Time, specs ...config.Spec) *journalOutput {
	o := &journalOutput{journal: journal, born: born}
	for _, spec := range specs {
		o.begins(spec)
	}
	return o
}

// begins says that there may be lines of an instance of spec from now on. It is
// to be called before the first of them is written.
func (o *journalOutput) begins(spec config.Spec) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kept = spec.OutputLines
	if identifier := gate.Identifier(spec); !slices.Contains(o.identifiers, identifier) {
		o.identifiers = append(o.identifiers, identifier)
	}
}

func (o *journalOutput) names() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.identifiers)
}

func (o *journalOutput) tail(ctx context.Context, w Window) ([]Line, error) {
	entries, err := o.read(ctx, o.names(), w)
	if err != nil {
		return nil, err
	}
	lines := make([]Line, len(entries))
	for i, e := range entries {
		lines[i] = lineOf(e)
	}
	return lines, nil
}

// read reads what was written under some of its identifiers.
func (o *journalOutput) read(ctx context.Context, identifiers []string, w Window) ([]systemd.Entry, error) {
	if w.Settled {
		_ = o.journal.journal.Sync(ctx) // only root may: then what is there has to do
	}
	q := linesUnder(identifiers)
	q.Since, q.Limit = o.born, w.Lines
	if w.Since.After(o.born) {
		q.Since = w.Since
	}
	if w.Lines == 0 && w.Since.IsZero() {
		o.mu.Lock()
		q.Limit = o.kept
		o.mu.Unlock()
	}
	return o.journal.journal.Read(ctx, q)
}
