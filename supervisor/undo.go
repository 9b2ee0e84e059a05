package supervisor

// undoList is how to take back what an operation has done so far.
type undoList []func()

// add notes how to take the step back that was just begun.
func (u *undoList) add(step func()) { *u = append(*u, step) }

// run takes everything back, the last step first.
func (u *undoList) run() {
	for i := len(*u) - 1; i >= 0; i-- {
		(*u)[i]()
	}
	*u = nil
}
