package supervisor

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"rollbridge/socket/control"
)

func TestAnApplicationBelongsToOneInstance(t *testing.T) {
	dir := t.TempDir()
	has := map[string]bool{} // files whose application is shop
	take := func(file string) error {
		t.Helper()
		has[file] = true
		return Claim{Dir: dir, Application: "shop", File: file, Holds: func(other string) bool { return has[other] }}.Take()
	}
	const first, second = "/etc/rollbridge/the-first-of-them.yaml", "/etc/rollbridge/2.yaml"
	for range 2 { // it comes back
		if err := take(first); err != nil {
			t.Fatal(err)
		}
	}
	var told *control.Error
	if err := take(second); !errors.As(err, &told) || told.Code != "other-instance" || !strings.Contains(told.Message, first) || told.Hint == "" {
		t.Errorf("the second one: %v", err)
	}
	if err := take(first); err != nil {
		t.Errorf("the first one, after that: %v", err)
	}
	delete(has, first) // removed, or renamed its application
	if err := take(second); err != nil {
		t.Error(err)
	}
	if err := take(first); err == nil || !strings.HasSuffix(err.Error(), second) {
		t.Errorf("the first one is too late: %v", err)
	}
	if err := (Claim{Dir: filepath.Join(dir, ".applications", "shop"), Application: "x"}).Take(); err == nil || !strings.Contains(err.Error(), `claim application "x"`) {
		t.Errorf("nowhere to write: %v", err)
	}
}
