package supervisor

import (
	"testing"
)

func TestDefectDuringADeployLeavesNothing(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		before := w.runner.running()
		func() {
			defer func() {
				if recover() == nil {
					t.Error("there was no panic")
				}
			}()
			w.runner.on("web@v2", behaviour{defect: true})
			w.deploy("v2")
		}()
		w.settle()
		equal(t, "running", w.runner.running(), before)
		equal(t, "states", w.states(), []string{"v1 active"})
		w.mustDeploy("v3")
	})
}
