package gate

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// GiveUpSignal ends a gate whose unit is not to be started again
// (RestartPreventExitStatus=): SIGRTMAX-2. It is no exit status, since a command
// may exit with any and is started again.
const GiveUpSignal = syscall.Signal(62)

// giveUp ends this process, so that its unit is not started again; it returns
// only if the signal does not work.
func (g Gate) giveUp(why error) error {
	g.say("%v", why)
	runtime.LockOSThread()
	setDefault(GiveUpSignal)
	unblock()
	_ = unix.Kill(os.Getpid(), GiveUpSignal)
	time.Sleep(time.Second) // not reached but for the first process of a machine
	return fmt.Errorf("%w, but signal %d did not end this process", why, GiveUpSignal)
}
