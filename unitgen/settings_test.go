package unitgen

import (
	"slices"
	"testing"
)

func TestAVersionGetsOnlyWhatItKnows(t *testing.T) {
	defer func(all []setting) { settings = all }(settings)
	settings = append(slices.Clone(settings), setting{property: "Later", since: 256})
	p := Properties{{"Later", true}, {"AddRef", true}}
	if got := p.known(255); len(got) != 1 || got[0].Name != "AddRef" {
		t.Errorf("255 gets %v", got)
	}
	if got := p.known(256); len(got) != 2 {
		t.Errorf("256 gets %v", got)
	}
}

func TestEverySettingIsKnownToTheOldestSystemd(t *testing.T) {
	for _, s := range settings {
		if s.since > Oldest {
			t.Errorf("%s is left out on systemd %d: say in docs/systemd.md what is different there", s.property, Oldest)
		}
	}
}
