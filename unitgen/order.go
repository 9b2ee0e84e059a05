package unitgen

import "strings"

// OrderName is the name of an application's Order.
func OrderName(app string) string {
	return strings.TrimSuffix(SliceName(app), ".slice") + "-order.slice"
}

// Order is an empty slice between the daemon and everything it runs, which has to
// be there before anything runs. At a shutdown the daemon is stopped first, then
// the slice, then the rest. Ordered against the daemon's own unit, a process that
// is being started would keep the daemon from starting, and one whose start fails
// again and again for ever: between two tries systemd does not get round to the
// daemon (seen on 252 and 257). Orders hold between jobs, and the slice has none
// but at the shutdown.
func Order(app string, h Host) Unit {
	var p Properties
	p.add("Description", app+": stopped after the daemon, before its processes")
	p.add("Before", []string{h.DaemonUnit})
	return Unit{OrderName(app), p}
}
