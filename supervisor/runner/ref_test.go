package runner

import (
	"os"
	"testing"
)

func TestRefNamesOneProcessOnly(t *testing.T) {
	s, err := readStat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	self := Ref{PID: s.pid, StartTime: s.started, BootID: BootID()}
	if !self.Alive() {
		t.Error("this process does not run")
	}
	later, elsewhen := self, self
	later.StartTime++
	elsewhen.BootID = "another boot"
	for _, other := range []Ref{{}, later, elsewhen} {
		if other.Alive() {
			t.Errorf("%+v is taken for this process", other)
		}
	}
}
