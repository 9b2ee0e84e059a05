package socket

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPrivateDirCreatesWhatIsMissing(t *testing.T) {
	base := shortDir(t)
	path := filepath.Join(base, "rollbridge-0", "shop")
	for range 2 {
		if err := PrivateDir(path); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{path, filepath.Dir(path)} {
		info, err := os.Lstat(dir)
		if err != nil || info.Mode() != os.ModeDir|0o700 {
			t.Errorf("%s: %v %v", dir, info, err)
		}
	}
}

func TestPrivateDirRefusesWhatOthersCanBend(t *testing.T) {
	makeDir := func(mode os.FileMode) func(string) error {
		return func(path string) error {
			if err := os.Mkdir(path, 0o700); err != nil {
				return err
			}
			return os.Chmod(path, mode)
		}
	}
	for text, put := range map[string]func(path string) error{
		"others can write to it (mode 0770)": makeDir(0o770),
		"others can write to it (mode 0702)": makeDir(0o702),
		"not a directory":                    func(path string) error { return os.WriteFile(path, nil, 0o600) },
	} {
		way := filepath.Join(shortDir(t), "way")
		if err := put(way); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{way, filepath.Join(way, "shop")} {
			err := PrivateDir(path)
			if err == nil || !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), way) {
				t.Errorf("%s: %v", text, err)
			}
		}
	}
}

func TestPrivateDirRefusesADirectoryThatOthersCanEnter(t *testing.T) {
	dir := shortDir(t)
	if err := os.Chmod(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := PrivateDir(dir); err == nil || !strings.Contains(err.Error(), "mode 0750") {
		t.Errorf("got %v", err)
	}
	if err := PrivateDir(filepath.Join(dir, "shop")); err != nil {
		t.Errorf("below it all is well: %v", err)
	}
}

func TestPrivateDirRefusesWhatBelongsToAnother(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to give files away")
	}
	base := shortDir(t)
	theirs, link := filepath.Join(base, "theirs"), filepath.Join(base, "link")
	if err := os.Mkdir(theirs, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{theirs: "belongs to user 54321", link: "symbolic link"} {
		if err := os.Lchown(path, someID, someID); err != nil {
			t.Fatal(err)
		}
		err := PrivateDir(filepath.Join(path, "shop"))
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestPrivateDirWorksBelowAStickyDirectoryOfRoot(t *testing.T) {
	base := shortDir(t)
	if err := os.Chmod(base, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(base, "rollbridge-54321", "shop")
	asUser(t, someID, func() {
		if err := PrivateDir(path); err != nil {
			t.Error(err)
		}
	})
	if err := PrivateDir(path); err == nil || !strings.Contains(err.Error(), "belongs to user 54321") {
		t.Errorf("as another user: %v", err)
	}
}
