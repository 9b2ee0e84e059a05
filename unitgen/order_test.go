package unitgen_test

import (
	"slices"
	"testing"

	"rollbridge/unitgen"
)

func TestOrderStandsBetweenTheDaemonAndItsProcesses(t *testing.T) {
	h := system(unitgen.Oldest)
	order := unitgen.Order("my-shop", h)
	if want := `rollbridge-my\x2dshop-order.slice`; order.Name != want {
		t.Errorf("name %s, want %s", order.Name, want)
	}
	before := func(u unitgen.Unit) []string {
		i := slices.IndexFunc(u.Properties, func(p unitgen.Property) bool { return p.Name == "Before" })
		return u.Properties[i].Value.([]string)
	}
	if got := before(order); !slices.Equal(got, []string{h.DaemonUnit}) {
		t.Errorf("the slice is before %v", got)
	}
	for _, u := range []unitgen.Unit{unitgen.Service(worker(), "id", h), unitgen.Scope(web(), 1, 0, h)} {
		if got := before(u); !slices.Equal(got, []string{unitgen.OrderName("shop")}) {
			t.Errorf("%s is before %v", u.Name, got)
		}
	}
}
