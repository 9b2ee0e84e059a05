// Command rollbridge-generator is a systemd.generator(7): at boot and at each
// daemon-reload it turns the configurations in /etc/rollbridge into what the units
// of their daemons depend on, such as the addresses of the sockets.
//
// It runs before there is a network, a bus, a journal or more than the root file
// system, asks none of them, and never fails: what is wrong with a configuration is
// reported, and the units keep what can be had.
package main

import (
	"fmt"
	"os"
)

const usage = `usage: rollbridge-generator NORMAL-DIR EARLY-DIR LATE-DIR

systemd runs it at boot and at each systemctl daemon-reload; it writes into
NORMAL-DIR. To see what it writes: rollbridge units --daemon`

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	g := &generator{root: "/", dir: os.Args[1], log: openLog()}
	g.run()
}
