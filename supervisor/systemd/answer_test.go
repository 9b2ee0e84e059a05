package systemd

import (
	"errors"
	"fmt"
	"testing"

	"github.com/godbus/dbus/v5"
)

func TestErrorsOfTheManagerInWords(t *testing.T) {
	says := func(name, text string) error { return dbus.Error{Name: name, Body: []any{text}} }
	for _, test := range []struct {
		err  error
		want string
		is   error
	}{
		{says(unitExists, "Unit a.service was already loaded or has a fragment file."), "start a.service: a unit of that name exists", ErrExists},
		{says(noUnit, "Unit a.service not loaded."), "start a.service: no such unit", ErrNoUnit},
		{says(needsAuth, "Interactive authentication required."), "start a.service: systemd does not let this user do that: it takes root, or the user's own manager (--user)", nil},
		{says("org.example.Strange", "Cannot do that."), "start a.service: systemd says: Cannot do that", nil},
		{dbus.Error{Name: "org.example.Strange"}, "start a.service: systemd says: org.example.Strange", nil},
		{fmt.Errorf("%w: broken pipe", errLost), "start a.service: the connection to systemd broke: broken pipe", errLost},
	} {
		err := about("start", "a.service", test.err)
		if err.Error() != test.want || test.is != nil && !errors.Is(err, test.is) {
			t.Errorf("got  %v\nwant %s", err, test.want)
		}
	}
	if err := about("start", "a.service", nil); err != nil {
		t.Errorf("nothing failed: %v", err)
	}
}
