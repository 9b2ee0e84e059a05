package systemd

import (
	"fmt"
	"strings"

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

// NotifyReady says that the start is done.
func NotifyReady() error { return Notify(daemon.SdNotifyReady) }

// NotifyStatus says in a line what the process is about; `systemctl status`
// shows it.
func NotifyStatus(text string) error {
	return Notify("STATUS=" + strings.Join(strings.Fields(text), " "))
}
