package runner

import (
	"context"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/gate"
)

// superviseMemory measures the instance that runs, from when it is first seen
// until another one runs or none does.
func (u *unit) superviseMemory() {
	running := u.past.pid()
	if running == u.measured {
		return
	}
	if u.unmeasure != nil {
		u.unmeasure()
	}
	u.measured, u.unmeasure = running, nil
	if running == 0 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	u.unmeasure = cancel
	watch := &memoryWatch{
		sample:   func() (int64, []Child, error) { return cgroupOf(running).Memory() },
		settings: func() *config.Memory { return u.Spec().Memory },
		publish:  func(bytes int64, children []Child) { u.noteMemory(running, bytes, children) },
		tell:     u.tellNow,
	}
	go func() {
		if watch.exceeded(ctx) {
			u.endForMemory(ctx)
		}
	}()
}

// noteMemory keeps the figures of the running instance. It wakes nobody: they
// are of interest only to who looks anyway.
func (u *unit) noteMemory(pid int, bytes int64, children []Child) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.status.PID == pid {
		u.status.RSSBytes, u.status.Children = bytes, children
	}
}

// endForMemory stops what runs, with its hooks; systemd starts it again through
// the gate, which a token tells why. ctx ends when it has ended by itself.
func (u *unit) endForMemory(ctx context.Context) {
	if u.take(ctx) != nil {
		return
	}
	defer u.give()
	u.mu.Lock()
	u.serial++
	token := gate.Token{Serial: u.serial, Reason: string(Memory)}
	u.mu.Unlock()
	if err := u.file.change(func(d *gate.Definition) { d.Start = token }); err != nil {
		u.tellNow("process definition not kept", map[string]any{"error": err.Error()})
	}
	u.ending(context.Background(), func(ctx context.Context) {
		if err := u.endCommand(ctx, true); err != nil {
			u.publish(func(s *Status) { s.Err = err })
		}
	})
	u.look(context.Background())
}
