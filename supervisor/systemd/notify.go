package systemd

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Notify tells the manager about this process, by the socket that it named in
// NOTIFY_SOCKET (sd_notify(3)). Without one there is nobody to tell, and no
// error. The manager has the message when Notify returns, also if this process
// becomes another program or ends right after; which process sent it, it knows
// from the kernel, as long as that process is there.
func Notify(state string) error {
	if _, err := daemon.SdNotify(false, state); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}

// A Notifier tells the manager about this process as Notify does, from a socket
// that it keeps open: also one that has no descriptors left can say that it
// lives. Its methods may be called concurrently.
type Notifier struct{ socket net.Conn }

// OpenNotifier opens the socket. Where there is no manager, nobody is told.
func OpenNotifier() *Notifier {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return &Notifier{}
	}
	socket, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return &Notifier{} // Tell says so
	}
	return &Notifier{socket}
}

// Tell sends a message. It has one more try, on a new socket, should the manager
// have made its own anew.
func (n *Notifier) Tell(state string) error {
	if n.socket != nil {
		if _, err := n.socket.Write([]byte(state)); err == nil {
			return nil
		}
	}
	return Notify(state)
}

// Close closes the socket. Of a nil Notifier there is none.
func (n *Notifier) Close() {
	if n != nil && n.socket != nil {
		n.socket.Close()
	}
}

// Status is the message that says in a line what the process is about;
// `systemctl status` shows it.
func Status(text string) string { return "STATUS=" + strings.Join(strings.Fields(text), " ") }

// Patience is the message that asks the manager to wait that much longer for the
// start or the end that is under way.
func Patience(d time.Duration) string {
	return "EXTEND_TIMEOUT_USEC=" + strconv.FormatInt(d.Microseconds(), 10)
}

// The other messages of a daemon.
const (
	Ready    = daemon.SdNotifyReady
	Stopping = daemon.SdNotifyStopping
	Alive    = daemon.SdNotifyWatchdog
)

// Reloading is the message that a configuration is being taken over; Ready ends
// it.
func Reloading() string {
	return daemon.SdNotifyReloading + "\nMONOTONIC_USEC=" + strconv.FormatUint(monotonic(), 10)
}

// WatchdogLimit is how long the manager waits for a sign of life of this process,
// WATCHDOG=1, before it ends it; 0 when it does not. The variables that say so
// are meant for this process alone.
func WatchdogLimit() time.Duration {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return 0
	}
	os.Unsetenv("WATCHDOG_USEC")
	os.Unsetenv("WATCHDOG_PID")
	return limit
}
