package gate

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// The descriptors that a daemon gives to a shim.
const (
	goFile    = 3 // reading end of a pipe: one byte means go
	errorFile = 4 // writing end of a pipe, for the reason of a failure; may be missing
)

// Shim is a child that a daemon has forked and moves to its scope. It waits
// until that is done, and becomes the command; the other end of the error pipe
// reads nothing then. It returns why it could not, and records nothing.
func (g Gate) Shim(id string) error {
	trouble := errorPipe()
	unix.CloseOnExec(goFile)
	err := awaitGo(os.NewFile(goFile, "go pipe"))
	if err == nil {
		var def Definition
		if def, err = g.Dir.Read(id); err == nil {
			err = g.become(def, func() error { return nil })
		}
	}
	if trouble != nil {
		_, _ = io.WriteString(trouble, err.Error())
	}
	return err
}

// awaitGo reads the word of the daemon.
func awaitGo(pipe *os.File) error {
	_, err := io.ReadFull(pipe, make([]byte, 1))
	if errors.Is(err, io.EOF) {
		return errors.New("the daemon has gone before its child was in place")
	}
	return err
}

// errorPipe is the pipe for the reason of a failure, nil when there is none.
// Another file of this process may have its number.
func errorPipe() *os.File {
	var info unix.Stat_t
	if unix.Fstat(errorFile, &info) != nil || info.Mode&unix.S_IFMT != unix.S_IFIFO {
		return nil
	}
	unix.CloseOnExec(errorFile)
	return os.NewFile(errorFile, "error pipe")
}
