package supervisor

import (
	"context"
	"fmt"

	"rollbridge/socket/control"
)

// Rollback deploys an earlier release again, by default the one that was active
// last. The release is started anew; a draining instance of it is left alone.
func (s *Supervisor) Rollback(ctx context.Context, args RollbackArgs, progress func(any)) (DeployResult, error) {
	op, err := s.begin(ctx, "rollback", args.ReleaseID, args.Wait, progress)
	if err != nil {
		return DeployResult{}, err
	}
	previous, result, err := s.rollback(op, args)
	s.awaitDrained(ctx, op, previous, args.WaitDrained)
	return result, err
}

// rollback finds the release to go back to, deploys it, and ends the operation.
func (s *Supervisor) rollback(op *operation, args RollbackArgs) (*release, DeployResult, error) {
	defer op.end()
	want, err := s.rollbackTarget(args.ReleaseID)
	if err == nil {
		err = checkDirectory(want.path)
	}
	if err != nil {
		return nil, DeployResult{}, err
	}
	s.mu.Lock()
	op.release = want.id
	s.mu.Unlock()
	op.note("rollback starting", map[string]any{"releaseId": want.id, "releasePath": want.path})
	return s.deploy(op, want, args.ConfigPath)
}

// rollbackTarget finds the release to go back to.
func (s *Supervisor) rollbackTarget(id string) (target, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id != "" && s.active != nil && s.active.id == id {
		return target{}, rollbackError("Release %q is already active.", id)
	}
	var found *release
	for _, r := range s.releases {
		if r == s.active || id != "" && r.id != id || s.active != nil && r.id == s.active.id {
			continue
		}
		if found == nil || !r.activatedAt.Before(found.activatedAt) {
			found = r
		}
	}
	switch {
	case found != nil:
		return target{found.id, found.path, found.revision}, nil
	case id != "":
		return target{}, rollbackError("No retained release %q to roll back to.", id)
	}
	return target{}, rollbackError("No previous release to roll back to.")
}

func rollbackError(format string, args ...any) error {
	return &control.Error{
		Code: "no-target", Message: fmt.Sprintf(format, args...),
		Hint: "`rollbridge status` lists the releases; releaseRetention.keep says how many are kept",
	}
}
