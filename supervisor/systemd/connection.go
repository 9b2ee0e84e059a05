package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"

	"github.com/godbus/dbus/v5"
)

// What systemd calls itself on the bus (org.freedesktop.systemd1(5)).
const (
	managerName      = "org.freedesktop.systemd1"
	managerPath      = dbus.ObjectPath("/org/freedesktop/systemd1")
	managerInterface = managerName + ".Manager"
	unitInterface    = managerName + ".Unit"
	jobInterface     = managerName + ".Job"
	busName          = "org.freedesktop.DBus"
	properties       = busName + ".Properties"
)

// connection is one connection to a manager, until it breaks.
type connection struct {
	*dbus.Conn
	direct  bool
	version int                    // major version of systemd
	owner   atomic.Pointer[string] // unique name of the manager on the bus
	signals receiver
	turns   chan struct{} // one for each call under way
}

// concurrent is how many calls may wait for their answers at once on one
// connection: a bus refuses more than 128 (max_replies_per_connection).
const concurrent = 32

// receiver is who a connection's signals are for. Its methods are called by the
// goroutine that reads the connection, so in order with the answers to calls,
// and must not wait.
type receiver interface {
	receive(*dbus.Signal) // a signal of the manager
	lookAgain()           // signals may have been lost
}

// connect makes a connection. With no receiver it gets no signals.
func connect(ctx context.Context, where address, signals receiver) (*connection, error) {
	c := &connection{direct: where.direct, signals: signals, turns: make(chan struct{}, concurrent)}
	conn, err := dbus.Dial(where.bus, dbus.WithSignalHandler(c))
	if err != nil {
		return nil, err
	}
	c.Conn = conn
	// Neither the authentication nor Hello knows a context.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err = c.introduce(ctx)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// introduce makes a connection usable, and finds out whether a manager is there.
func (c *connection) introduce(ctx context.Context) error {
	uid := strconv.Itoa(os.Geteuid())
	if err := c.Auth([]dbus.Auth{dbus.AuthExternal(uid)}); err != nil {
		return err
	}
	if !c.direct {
		if err := c.Hello(); err != nil {
			return err
		}
	}
	if !c.direct && c.signals != nil {
		if err := c.listen(ctx); err != nil {
			return err
		}
	}
	return c.learnVersion(ctx)
}

// The signals that a bus is asked for.
const (
	unitSignals    = "type='signal',sender='" + managerName + "',interface='" + properties + "',member='PropertiesChanged',path_namespace='/org/freedesktop/systemd1/unit'"
	managerSignals = "type='signal',sender='" + managerName + "',interface='" + managerInterface + "',path='" + string(managerPath) + "'"
	renewalSignals = "type='signal',sender='" + busName + "',interface='" + busName + "',member='NameOwnerChanged',arg0='" + managerName + "'"
)

// listen asks for signals, and for the manager's unique name, by which its
// signals are told from forged ones. Everything is asked at once: a round trip
// more is time that someone waits. The private socket needs none of it: the
// manager sends all signals there, and does not answer a Subscribe.
func (c *connection) listen(ctx context.Context) error {
	bus := c.BusObject()
	ask := func(o dbus.BusObject, method string, args ...any) *dbus.Call {
		return o.GoWithContext(ctx, method, dbus.FlagNoAutoStart, make(chan *dbus.Call, 1), args...)
	}
	var asked []*dbus.Call
	for _, rule := range []string{renewalSignals, unitSignals, managerSignals} {
		asked = append(asked, ask(bus, busName+".AddMatch", rule))
	}
	asked = append(asked, ask(c.manager(), managerInterface+".Subscribe"))
	owner := ask(bus, busName+".GetNameOwner", managerName)
	for _, call := range append(asked, owner) {
		if err := (<-call.Done).Err; err != nil {
			return err
		}
	}
	var name string
	if err := owner.Store(&name); err != nil {
		return err
	}
	// A signal about a newer name may have been quicker.
	c.owner.CompareAndSwap(nil, &name)
	return nil
}

func (c *connection) learnVersion(ctx context.Context) error {
	value, err := c.property(ctx, managerPath, managerInterface, "Version")
	if err != nil {
		return err
	}
	text, _ := value.(string)
	if c.version = majorVersion(text); c.version == 0 {
		return fmt.Errorf("the manager there says that its version is %q", text)
	}
	return nil
}

// majorVersion is the first number in a text such as "252.39-1~deb12u1", 0 if
// there is none at its beginning.
func majorVersion(text string) int {
	end := 0
	for end < len(text) && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	n, _ := strconv.Atoi(text[:end])
	return n
}

// DeliverSignal takes a signal from the goroutine that reads the connection, so
// in order with the answers. On a bus anyone may send us one.
func (c *connection) DeliverSignal(iface, member string, s *dbus.Signal) {
	if c.signals == nil {
		return
	}
	if s.Sender == busName && iface == busName {
		if member == "NameOwnerChanged" {
			c.rename(s.Body)
		}
		return
	}
	if owner := c.owner.Load(); c.direct || owner != nil && s.Sender == *owner {
		c.signals.receive(s)
	}
}

// rename follows a manager that has executed itself anew: it comes back under
// another unique name, with all jobs, subscriptions and references, but signals
// that it sent just before are lost.
func (c *connection) rename(body []any) {
	var name, before, now string
	if dbus.Store(body, &name, &before, &now) != nil || name != managerName || now == "" {
		return
	}
	c.owner.Store(&now)
	c.signals.lookAgain()
}

func (c *connection) manager() dbus.BusObject { return c.Object(managerName, managerPath) }

// errLost is an answer that will not come: whether the call was carried out is
// not known. Another connection, or the same one a little later, may answer.
var errLost = errors.New("the connection to systemd broke")

// call calls a method of the manager's object at path.
func (c *connection) call(ctx context.Context, path dbus.ObjectPath, method string, args ...any) (*dbus.Call, error) {
	select {
	case c.turns <- struct{}{}:
		defer func() { <-c.turns }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	call := c.Object(managerName, path).CallWithContext(limited, method, dbus.FlagNoAutoStart, args...)
	if call.Err == nil {
		return call, nil
	}
	if limited.Err() != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("systemd has not answered for %v", patience)
	}
	return nil, c.failure(call.Err)
}

// failure sorts an error of a call. A broken connection is closed, so that it is
// known to be.
func (c *connection) failure(err error) error {
	if isAway(err) {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	if isAnyAnswer(err) || isOurFault(err) {
		return err
	}
	c.Close()
	return fmt.Errorf("%w: %w", errLost, err)
}

// away are the answers of a bus whose manager has left it, for good or for a
// moment.
var away = map[string]bool{
	busName + ".Error.NoReply":        true, // it left with the question
	busName + ".Error.Disconnected":   true,
	busName + ".Error.ServiceUnknown": true,
	busName + ".Error.NameHasNoOwner": true,
}

func isAway(err error) bool {
	answer, ok := errors.AsType[dbus.Error](err)
	return ok && away[answer.Name]
}

// isOurFault reports whether a message could not even be written down.
func isOurFault(err error) bool {
	_, format := errors.AsType[dbus.FormatError](err)
	_, invalid := errors.AsType[dbus.InvalidMessageError](err)
	return format || invalid
}

// on calls a method of the manager.
func (c *connection) on(ctx context.Context, method string, args ...any) (*dbus.Call, error) {
	return c.call(ctx, managerPath, managerInterface+"."+method, args...)
}

// property reads one property.
func (c *connection) property(ctx context.Context, path dbus.ObjectPath, iface, name string) (any, error) {
	call, err := c.call(ctx, path, properties+".Get", iface, name)
	if err != nil {
		return nil, err
	}
	var value dbus.Variant
	if err := call.Store(&value); err != nil {
		return nil, err
	}
	return value.Value(), nil
}

// alive reports whether the connection has not been seen to break.
func (c *connection) alive() bool { return c.Connected() }
