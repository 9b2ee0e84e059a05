package supervisor

import (
	"fmt"
	"runtime"
	"testing"
	"time"
	"weak"
)

func TestForgottenReleasesAreCollected(t *testing.T) {
	inBubble(t, shop+"releaseRetention: {keep: 1}\n", func(t *testing.T, w *world) {
		var releases []weak.Pointer[release]
		for i := range 20 {
			id := fmt.Sprintf("v%d", i)
			w.mustDeploy(id)
			releases = append(releases, weak.Make(w.release(id)))
			time.Sleep(time.Second)
			w.settle()
		}
		runtime.GC()
		runtime.GC()
		alive := 0
		for _, r := range releases {
			if r.Value() != nil {
				alive++
			}
		}
		if alive > 2 {
			t.Errorf("%d releases are kept, though the list has %v", alive, w.states())
		}
	})
}
