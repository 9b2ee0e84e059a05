package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// A daemon started in the background is given a pipe and writes a word on it
// when it is ready. When it dies before, the pipe ends without the word.
const (
	readyVariable = "ROLLBRIDGE_READY_FD"
	readyWord     = "ready\n"
)

// readyPipe is the daemon's end; nil when nobody waits.
type readyPipe struct{ *os.File }

// takeReadyPipe takes the pipe out of the environment, so that no managed
// process inherits it.
func takeReadyPipe() readyPipe {
	fd, err := strconv.Atoi(os.Getenv(readyVariable))
	os.Unsetenv(readyVariable)
	if err != nil || fd < 3 {
		return readyPipe{}
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
		return readyPipe{}
	}
	return readyPipe{os.NewFile(uintptr(fd), "ready pipe")}
}

// say tells whoever waits that the daemon is ready.
func (p readyPipe) say() {
	if p.File == nil {
		return
	}
	p.WriteString(readyWord)
	p.Close()
}
