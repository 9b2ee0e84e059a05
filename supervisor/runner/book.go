package runner

import (
	"rollbridge/supervisor/config"
	"rollbridge/supervisor/gate"
)

// A logbook keeps, outside of this process, what a later daemon needs to take a
// process back.
type logbook interface {
	// define replaces the definition.
	define(config.Spec) error
	// want says what shall become of the process when it ends by itself.
	want(gate.Want) error
	// append adds to what has happened.
	append(gate.Record) error
	// unit names the unit of the newest instance; "" is none.
	unit() string
	// forget drops everything.
	forget()
}

// noBook is the logbook of processes that end with the daemon.
type noBook struct{}

func (noBook) define(config.Spec) error { return nil }
func (noBook) want(gate.Want) error     { return nil }
func (noBook) append(gate.Record) error { return nil }
func (noBook) unit() string             { return "" }
func (noBook) forget()                  {}
