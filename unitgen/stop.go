package unitgen

import (
	"syscall"
	"time"

	"rollbridge/supervisor/config"
)

// endingTime is what a service has to end in at least. systemd gives as long to
// the command that notes how the process ended, and kills it after that.
const endingTime = 5 * time.Second

// stop says how the processes of the unit are ended by systemd itself: at a
// power-off, and by hand. The daemon's own stops have the newest settings.
func (p *Properties) stop(s config.Stop, least time.Duration) {
	p.add("KillMode", "control-group")
	signal, grace := s.Signal, s.Grace
	if grace <= 0 { // a TimeoutStopUSec of 0 becomes infinity at a daemon-reload
		signal, grace = syscall.SIGKILL, endingTime
	}
	p.add("KillSignal", int32(signal))
	if grace == config.Indefinite {
		p.add("TimeoutStopUSec", uint64(Infinity))
		return
	}
	p.add("TimeoutStopUSec", micros(max(grace, least)))
}
