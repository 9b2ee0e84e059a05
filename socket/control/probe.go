package control

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// probeTime is how long a daemon may take to tell who it is.
const probeTime = time.Second

// A Finding is what Probe found on a control path.
type Finding struct {
	Kind            FindingKind
	Application     string // of a daemon; empty when it is too busy to tell
	ActiveReleaseID string // of a daemon; empty when none is active
}

// FindingKind tells who answers.
type FindingKind int

const (
	Nobody   FindingKind = iota // nobody listens
	Daemon                      // a rollbridge daemon
	Stranger                    // something else, or something silent
)

// Probe asks who answers at path, for at most a second. The error says why that
// cannot be known, such as an *Error with CodeDenied.
func Probe(ctx context.Context, path string) (Finding, error) {
	limited, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	c, err := Dial(limited, path)
	if errors.Is(err, ErrNoDaemon) {
		return Finding{}, nil
	}
	if err != nil {
		return Finding{}, err
	}
	defer c.Close()
	status, _, err := Call[struct {
		Application     *string `json:"application"`
		ActiveReleaseID string  `json:"activeReleaseId"`
	}](limited, c, "status", map[string]any{"withoutLogs": true}, nil)
	var refusal *Error
	switch {
	case ctx.Err() != nil:
		return Finding{}, context.Cause(ctx)
	case errors.As(err, &refusal) && refusal.Code != "":
		return Finding{Kind: Daemon}, nil
	case err != nil, status.Application == nil:
		return Finding{Kind: Stranger}, nil
	}
	return Finding{Kind: Daemon, Application: *status.Application, ActiveReleaseID: status.ActiveReleaseID}, nil
}

// Conflict is the error of a daemon that wanted the path for itself, or nil when
// nobody is there.
func (f Finding) Conflict(path string) error {
	switch f.Kind {
	case Nobody:
		return nil
	case Stranger:
		return &Error{
			Code:    CodeFailed,
			Message: fmt.Sprintf("The control socket %s is already in use by another process.", path),
			Hint:    "stop that process or set a different control.path",
		}
	}
	active := "no active release"
	if f.ActiveReleaseID != "" {
		active = "active release: " + f.ActiveReleaseID
	}
	return &Error{
		Code:    CodeFailed,
		Message: fmt.Sprintf("A Rollbridge daemon for application %q is already running on %s (%s).", f.Application, path, active),
		Hint:    `run "rollbridge status" to inspect it or "rollbridge shutdown" to stop it, or set a different control.path`,
	}
}
