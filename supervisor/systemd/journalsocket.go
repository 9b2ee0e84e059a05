package systemd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// journalPath is where journald takes structured messages. PID 1 holds the
// socket, so that messages wait there while journald is restarted.
const journalPath = "/run/systemd/journal/socket"

// Field is one field of a message for the journal: upper case letters, digits
// and underscores, and a value that may be any bytes.
type Field struct{ Name, Value string }

// JournalSocket sends structured messages to the journal, in journald's native
// protocol. It is for one goroutine.
type JournalSocket struct {
	path string
	conn *net.UnixConn // nil until the first message, and after an error
}

// OpenJournalSocket returns the way to journald, which need not be there yet.
func OpenJournalSocket() *JournalSocket { return &JournalSocket{path: journalPath} }

// Send hands one message over, or says why it could not be within patience.
func (s *JournalSocket) Send(fields []Field, patience time.Duration) error {
	message := encode(fields)
	err := s.send(message, patience)
	if isGone(err) { // a connection from before journald's socket was made anew
		err = s.send(message, patience)
	}
	if err != nil {
		return fmt.Errorf("send to the journal: %w", err)
	}
	return nil
}

// Close gives the socket back.
func (s *JournalSocket) Close() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}

func (s *JournalSocket) send(message []byte, patience time.Duration) error {
	if s.conn == nil {
		conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.path, Net: "unixgram"})
		if err != nil {
			return err
		}
		s.conn = conn
	}
	err := s.conn.SetWriteDeadline(time.Now().Add(patience))
	if err == nil {
		_, err = s.conn.Write(message)
	}
	if errors.Is(err, unix.EMSGSIZE) || errors.Is(err, unix.ENOBUFS) {
		err = s.sendFile(message)
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		s.Close()
	}
	return err
}

func isGone(err error) bool {
	return errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.EPIPE)
}

// sendFile sends a message that is too large for a datagram: as a file in
// memory that nobody can change any more.
func (s *JournalSocket) sendFile(message []byte) error {
	fd, err := unix.MemfdCreate("journal message", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(fd), "journal message")
	defer file.Close()
	if _, err := file.Write(message); err != nil {
		return err
	}
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return err
	}
	return s.pass(fd)
}

// pass hands a descriptor over. The package net does not do that on a connected
// datagram socket.
func (s *JournalSocket) pass(fd int) error {
	raw, err := s.conn.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = raw.Write(func(to uintptr) bool {
		sent = unix.Sendmsg(int(to), nil, unix.UnixRights(fd), nil, unix.MSG_NOSIGNAL)
		return sent != unix.EAGAIN && sent != unix.EINTR
	})
	if err != nil {
		return err
	}
	return sent
}

// encode writes fields as journald reads them: NAME=value, or, when the value
// has line ends, the name, its length in 64 bits and the value.
func encode(fields []Field) []byte {
	var b []byte
	for _, f := range fields {
		b = append(b, f.Name...)
		if strings.Contains(f.Value, "\n") {
			b = append(b, '\n')
			b = binary.LittleEndian.AppendUint64(b, uint64(len(f.Value)))
		} else {
			b = append(b, '=')
		}
		b = append(b, f.Value...)
		b = append(b, '\n')
	}
	return b
}

// IsJournal reports whether a descriptor is the stream to the journal that
// systemd has opened for this unit: stream is the value of JOURNAL_STREAM, the
// device and inode of it. A descriptor redirected since then has others.
func IsJournal(fd int, stream string) bool {
	var st unix.Stat_t
	return stream != "" && unix.Fstat(fd, &st) == nil && stream == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}
