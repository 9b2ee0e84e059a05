package systemd

import (
	"errors"
	"strings"

	"github.com/godbus/dbus/v5"
)

// ErrExists is what StartTransient answers when a unit of that name is loaded.
var ErrExists = errors.New("a unit of that name exists")

// ErrNoUnit is what calls about a unit answer that is not loaded.
var ErrNoUnit = errors.New("no such unit")

// ErrDenied is what calls that change something answer a user who may not.
var ErrDenied = errors.New("systemd does not let this user do that: it takes root, or the user's own manager (--user)")

// Names of the manager's errors that mean something to us.
const (
	noUnit        = managerName + ".NoSuchUnit"
	noJob         = managerName + ".NoSuchJob"
	unitExists    = managerName + ".UnitExists"
	notReferenced = managerName + ".NotReferenced"
	unknownObject = busName + ".Error.UnknownObject"
	needsAuth     = busName + ".Error.InteractiveAuthorizationRequired"
	denied        = busName + ".Error.AccessDenied"
)

// isAnswer reports whether an error is one of the manager's, by its name.
func isAnswer(err error, name string) bool {
	answer, ok := errors.AsType[dbus.Error](err)
	return ok && answer.Name == name
}

func isAnyAnswer(err error) bool {
	_, ok := errors.AsType[dbus.Error](err)
	return ok
}

// inWords makes an error of the manager one for people, and for errors.Is.
func inWords(err error) error {
	answer, ok := errors.AsType[dbus.Error](err)
	if !ok || errors.Is(err, errLost) {
		return err
	}
	switch answer.Name {
	case noUnit:
		return ErrNoUnit
	case unitExists:
		return ErrExists
	case needsAuth, denied:
		return ErrDenied
	}
	return errors.New("systemd says: " + sentence(answer))
}

// sentence is what an error says, or its name if it says nothing.
func sentence(answer dbus.Error) string {
	return strings.TrimSuffix(answer.Error(), ".")
}
