//go:build hang

package main

import (
	"context"
	"net"
	"sync"

	"rollbridge/socket/control"
	"rollbridge/supervisor"
)

// standing are the names of the loops that stand still; see hang_off.go.
var standing sync.Map

func (d *daemon) hangable(name string, l net.Listener) net.Listener { return hangingListener{l, name} }

// hangingListener accepts one more connection after its loop was told to stand
// still, and never returns it.
type hangingListener struct {
	net.Listener
	name string
}

func (l hangingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if _, hang := standing.Load(l.name); hang {
		select {}
	}
	return conn, err
}

type hangArgs struct {
	Loop string `json:"loop"`
}

func (d *daemon) addHang() {
	control.Handle(d.control, "hang", func(_ context.Context, args hangArgs, _ func(any)) (supervisor.Message, error) {
		standing.Store(args.Loop, true)
		if args.Loop == "supervisor" {
			d.supervisor.Hang()
		}
		return supervisor.Message{Message: args.Loop}, nil
	})
}
