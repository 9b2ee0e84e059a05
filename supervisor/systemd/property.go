package systemd

import (
	"fmt"

	"github.com/godbus/dbus/v5"
)

// Property is one property of a unit, as the bus takes it: a Go value whose
// D-Bus type is that of the property. Times are uint64 in microseconds; commands,
// of the type a(sasb), a slice of structs with the path, the arguments and
// whether to ignore failure.
type Property struct {
	Name  string
	Value any
}

// setting is a Property on its way.
type setting struct {
	Name  string
	Value dbus.Variant
}

func encodeProperties(all []Property) ([]setting, error) {
	settings := make([]setting, 0, len(all))
	for _, p := range all {
		value, err := variant(p.Value)
		if err != nil {
			return nil, fmt.Errorf("property %s: %w", p.Name, err)
		}
		settings = append(settings, setting{p.Name, value})
	}
	return settings, nil
}

// variant is a value with its type; the library panics where D-Bus has none.
func variant(value any) (v dbus.Variant, err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("%T is no type of D-Bus", value)
		}
	}()
	return dbus.MakeVariant(value), nil
}
