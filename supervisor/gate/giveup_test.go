package gate

import (
	"testing"

	"rollbridge/unitgen"
)

func TestTheSignalIsTheOneThatUnitsDoNotRestartAt(t *testing.T) {
	if GiveUpSignal != unitgen.GiveUpSignal {
		t.Errorf("signal %d here, %d in units", GiveUpSignal, unitgen.GiveUpSignal)
	}
}
