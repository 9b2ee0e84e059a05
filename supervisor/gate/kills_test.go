package gate

import (
	"testing"

	"rollbridge/supervisor/config"
)

func TestTheKernelsOwnCountTellsWhoKilled(t *testing.T) {
	before := kills{Unit: 1, Slice: 5}
	killed := exit{signal: 9, result: "signal"}
	for name, tt := range map[string]struct {
		now  kills
		want string
	}{
		"nobody of the unit": {kills{Unit: 1, Slice: 7}, "signal"},
		"the unit":           {kills{Unit: 2, Slice: 6}, "oom-kill"},
		"no controller":      {kills{}, "signal"},
	} {
		if got := before.seen(killed, tt.now); got.result != tt.want || got.signal != 9 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	limited := Definition{Spec: config.Spec{Memory: &config.Memory{Limit: 1, HardLimit: 1}}}
	for name, tt := range map[string]struct {
		def  Definition
		now  kills
		want string
	}{
		"somebody of the slice": {limited, kills{Slice: 6}, "oom-kill"},
		"nobody":                {limited, kills{Slice: 5}, ""},
		"without a hard limit":  {Definition{Spec: config.Spec{Memory: &config.Memory{Limit: 1}}}, kills{Slice: 6}, ""},
		"without a limit":       {Definition{}, kills{Slice: 6}, ""},
	} {
		if got := before.unseen(tt.def, tt.now); got.result != tt.want || !got.unseen {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
