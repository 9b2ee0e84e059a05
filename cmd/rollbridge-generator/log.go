package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"rollbridge/unitgen"
)

const (
	identifier = "rollbridge-generator"

	maxLine  = 900 // bytes; the kernel takes records of somewhat more
	maxLines = 100
)

// A log takes warnings to where an administrator looks.
type log struct {
	out    io.Writer
	format string // of a record, with the text in it
	said   int
}

// openLog is the kernel's log, which the journal reads as soon as there is one.
// Containers have none; then it is the journal itself, which is there at a
// daemon-reload, else stderr.
func openLog() *log {
	if kernel := openKernelLog("/dev/kmsg"); kernel != nil {
		return &log{out: kernel, format: "<4>" + identifier + ": %s\n"}
	}
	if journal, err := net.Dial("unixgram", "/run/systemd/journal/socket"); err == nil {
		return &log{out: patient{journal}, format: "PRIORITY=4\nSYSLOG_IDENTIFIER=" + identifier + "\nMESSAGE=%s\n"}
	}
	return &log{out: os.Stderr, format: identifier + ": %s\n"}
}

// openKernelLog is nil where there is none. What containers have in its place may
// be a pipe that nobody reads.
func openKernelLog(path string) io.Writer {
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(1, 11) {
		f.Close()
		return nil
	}
	return f
}

// patient waits a moment for a busy journal, and no longer.
type patient struct{ net.Conn }

func (p patient) Write(b []byte) (int, error) {
	p.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	return p.Conn.Write(b)
}

// warn says lines, each in a record of its own. There is nobody to tell when that
// fails.
func (l *log) warn(lines ...string) {
	for _, text := range lines {
		switch l.said++; {
		case l.said == maxLines:
			text = "there are more problems; hint: rollbridge validate --config FILE, for each file"
		case l.said > maxLines:
			return
		}
		fmt.Fprintf(l.out, l.format, clipped(text))
	}
}

// clipped is a text in one line of a bounded length.
func clipped(text string) string {
	if text = unitgen.OneLine(text); len(text) > maxLine {
		return strings.ToValidUTF8(text[:maxLine], "") + "…"
	}
	return text
}
