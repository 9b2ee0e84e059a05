package systemd

import "os"

// Booted reports whether systemd is the init system of this machine, as
// sd_booted(3) finds out.
func Booted() bool {
	info, err := os.Lstat("/run/systemd/system")
	return err == nil && info.IsDir()
}
