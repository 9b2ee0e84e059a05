package main

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"rollbridge/supervisor/systemd"
)

// playedJournal is a journald that takes messages, or does not.
type playedJournal struct {
	err      error
	messages [][]systemd.Field
	patience []time.Duration
}

func (p *playedJournal) send(fields []systemd.Field, patience time.Duration) error {
	p.patience = append(p.patience, patience)
	if p.err != nil {
		return p.err
	}
	p.messages = append(p.messages, fields)
	return nil
}

func TestEventIsAStructuredMessageInTheJournal(t *testing.T) {
	there := &playedJournal{}
	var instead bytes.Buffer
	log := newLog(&journalLog{send: there.send, application: "shop", instead: &instead})
	log.Info("process exited", "id", "worker#1", "processId", "worker#1", "releaseId", "v42", "code", 1, "signal", nil,
		"error", "two words", "unit", "rollbridge-shop.worker.v42.1.service", "peerUid", 0, "empty", "")
	want := map[string]string{
		"MESSAGE":                 `process exited processId=worker#1 releaseId=v42 code=1 empty="" error="two words" id=worker#1 peerUid=0 unit=rollbridge-shop.worker.v42.1.service`,
		"PRIORITY":                "5",
		"MESSAGE_ID":              "fd4d0bce5a764ae486aa43df37858b19",
		"SYSLOG_IDENTIFIER":       "rollbridge",
		"ROLLBRIDGE_APPLICATION":  "shop",
		"ROLLBRIDGE_EVENT":        "process exited",
		"ROLLBRIDGE_PROCESS":      "worker#1",
		"ROLLBRIDGE_RELEASE":      "v42",
		objectField(os.Geteuid()): "rollbridge-shop.worker.v42.1.service",
		"ROLLBRIDGE_DATA": `{"id":"worker#1","processId":"worker#1","releaseId":"v42","code":1,"signal":null,"error":"two words",` +
			`"unit":"rollbridge-shop.worker.v42.1.service","peerUid":0,"empty":""}`,
	}
	if len(there.messages) != 1 || instead.Len() > 0 {
		t.Fatalf("%v, and instead %q", there.messages, instead.String())
	}
	for _, f := range there.messages[0] {
		if f.Name == "ROLLBRIDGE_AT" {
			if _, err := time.Parse(time.RFC3339, f.Value); err != nil {
				t.Error(err)
			}
			continue
		}
		if f.Value != want[f.Name] {
			t.Errorf("%s=%s\nwant %s", f.Name, f.Value, want[f.Name])
		}
		delete(want, f.Name)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
}

func TestMessageForPeopleIsOneLine(t *testing.T) {
	there := &playedJournal{}
	newLog(&journalLog{send: there.send}).Info("deploy failed", "error", "a\nb\x1b[31m", "quoted", `say "x"`)
	if got, want := there.messages[0][0].Value, `deploy failed error="a\nb\u001b[31m" quoted="say \"x\""`; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestEventThatTheJournalDoesNotTakeIsALineOnStdout(t *testing.T) {
	there := &playedJournal{err: errors.New("gone")}
	var instead bytes.Buffer
	log := newLog(&journalLog{send: there.send, instead: &instead})
	log.Info("first")
	log.Info("second")
	there.err = nil
	log.Info("third")
	log.Info("fourth")
	if lines := strings.Split(strings.TrimSpace(instead.String()), "\n"); len(lines) != 2 || !strings.HasSuffix(lines[1], `"message":"second"}`) {
		t.Errorf("%q", lines)
	}
	if len(there.messages) != 2 {
		t.Errorf("%v", there.messages)
	}
	// Only the first one after a success is worth waiting for.
	if p := there.patience; p[0] != journalPatience || p[1] > time.Millisecond || p[2] > time.Millisecond || p[3] != journalPatience {
		t.Errorf("%v", p)
	}
}

func TestLogGoesToTheJournalOnlyWhereStdoutDoes(t *testing.T) {
	e := &env{Stdout: &screen{}, Getenv: func(string) string { return "1:2" }}
	if w, journal := e.logOutput("shop"); journal || w != e.Stdout {
		t.Errorf("%T, %v", w, journal)
	}
}
