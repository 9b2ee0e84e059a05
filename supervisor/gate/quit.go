package gate

import (
	"os"
	"os/signal"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// quitting is a gate that ends with status 0, a clean end to the manager, when
// a signal asks it to: any that stops its command, and the usual ones. Go would
// ignore some of them and tell its whole state at others.
type quitting struct {
	caught  []os.Signal
	signals chan os.Signal
}

func awaitQuit(stop syscall.Signal) *quitting {
	q := &quitting{
		caught:  []os.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2},
		signals: make(chan os.Signal, 1),
	}
	if stop > 0 && stop != unix.SIGKILL && stop != unix.SIGSTOP {
		q.caught = append(q.caught, stop)
	}
	signal.Notify(q.signals, q.caught...)
	return q
}

// sleep waits for a reading of CLOCK_BOOTTIME.
func (q *quitting) sleep(until time.Duration) error {
	select {
	case <-clock(until):
		return nil
	case <-q.signals:
		return errAsked
	}
}

// over gives all signals their default effect, and says whether one has come
// before: none is lost on the way.
func (q *quitting) over() error {
	for _, s := range q.caught {
		setDefault(s.(syscall.Signal))
	}
	signal.Stop(q.signals) // waits for those that Go has taken already
	select {
	case <-q.signals:
		return errAsked
	default:
		return nil
	}
}

// clock returns a channel that is closed at a reading of CLOCK_BOOTTIME, which
// goes on while the machine is suspended and is never set.
func clock(until time.Duration) <-chan struct{} {
	reached := make(chan struct{})
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err == nil {
		spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(until))}
		err = unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME, &spec, nil)
	}
	if err != nil {
		time.AfterFunc(until-Boottime(), func() { close(reached) })
		return reached
	}
	go func() {
		defer close(reached)
		timer := os.NewFile(uintptr(fd), "timer")
		defer timer.Close()
		_, _ = timer.Read(make([]byte, 8))
	}()
	return reached
}

// handler is the beginning of the kernel's struct sigaction; the rest of it, zero
// here, is no longer than that of the largest architecture.
type handler struct {
	action uintptr
	_      [32]byte
}

// What a signal does, as the kernel counts it.
const (
	byDefault = 0
	ignored   = 1
)

// setDefault gives a signal its default effect. Go's own way back to it leaves
// the handler of the runtime in place.
func setDefault(s syscall.Signal) {
	setAction(s, &handler{action: byDefault}, nil)
}

// unignore gives all signals that are ignored their default effect. Handlers end
// at an execution by themselves.
func unignore() {
	for s := syscall.Signal(1); s <= 64; s++ {
		var h handler
		if setAction(s, nil, &h); h.action == ignored {
			setDefault(s)
		}
	}
}

// setAction cannot fail but for the two signals that have no handlers.
func setAction(s syscall.Signal, set, was *handler) {
	const setSize = 8 // of a set of 64 signals
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s),
		uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(was)), setSize, 0, 0)
}

// unblock lets all signals reach this thread.
func unblock() {
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, new(unix.Sigset_t), nil) // cannot fail
}
