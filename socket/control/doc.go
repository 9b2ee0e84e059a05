// Package control carries commands over a Unix socket: one JSON object per line,
// either way.
//
// A Mux answers. Each line is handled on its own as it arrives, answers go out in
// the order in which the commands end, and a client that leaves cancels nothing.
// What a client can use up is bounded: line length, connections, commands at
// once, time. A client that does not read loses its connection, and only that.
//
// A Client asks, one command at a time.
package control
