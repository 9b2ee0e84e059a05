package gate

import (
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Outcome is what the manager tells what follows the end of a unit's command:
// the variables SERVICE_RESULT, EXIT_CODE and EXIT_STATUS of ExecStopPost=.
type Outcome struct{ Result, Code, Status string }

// Ended records the end of a command. After a gate that started none there is
// nothing to record.
func (g Gate) Ended(id string, o Outcome) error {
	l, err := g.Dir.log(id)
	if err != nil {
		return err
	}
	if err := l.load(0); err != nil {
		return err
	}
	defer l.close()
	if l.last.Kind != Started {
		return nil
	}
	return l.append(l.last.ended(l.last.OOMKills.seen(o.exit(), killsSoFar())).backdated(startedBefore()))
}

// startedBefore is a moment of CLOCK_BOOTTIME that this process was started
// before, and that the command had ended before therefore. It is earlier than
// now by what systemd and the program take to get here, some 10 ms, which would
// make each wait for a restart longer.
func startedBefore() time.Duration {
	const tick = 10 * time.Millisecond // USER_HZ is 100 on all machines
	return time.Duration(startTime()+1) * tick
}

// exit reads an outcome: a status, or the name of a signal.
func (o Outcome) exit() exit {
	switch o.Code {
	case "exited":
		if code, err := strconv.Atoi(o.Status); err == nil {
			return exit{code: code, result: o.Result}
		}
	case "killed", "dumped":
		if signal, ok := signalNumber(o.Status); ok {
			return exit{signal: signal, result: o.Result}
		}
	}
	return exit{result: o.Result, unseen: true}
}

// The realtime signals of the C library, which names them for systemd.
const (
	rtMin = 34
	rtMax = 64
)

// signalNumber reads a signal as systemd writes it: "TERM", "RTMIN+28", "62".
func signalNumber(name string) (int, bool) {
	if n, err := strconv.Atoi(name); err == nil {
		return n, n > 0 && n <= rtMax
	}
	if up, ok := strings.CutPrefix(name, "RTMIN"); ok {
		return realtime(rtMin, up)
	}
	if down, ok := strings.CutPrefix(name, "RTMAX"); ok {
		return realtime(rtMax, down)
	}
	n := int(unix.SignalNum("SIG" + name))
	return n, n > 0
}

// realtime reads the distance from the lowest or the highest one: "+28", "-2",
// or none.
func realtime(base int, distance string) (int, bool) {
	if distance == "" {
		return base, true
	}
	n, err := strconv.Atoi(distance)
	return base + n, err == nil && base+n >= rtMin && base+n <= rtMax
}
