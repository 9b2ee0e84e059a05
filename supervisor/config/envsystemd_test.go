package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rollbridge/supervisor/systemd/systemdtest"
)

// unitEnvironments has systemd run env with each file of a directory that ends
// with .env, and keeps what it prints beside it.
const unitEnvironments = `for f in /share/*.env; do
	systemd-run --wait --pipe --quiet --property=EnvironmentFile=$f env -0 >${f%.env}.out 2>/dev/null || true # systemd refuses some
done`

func TestSystemdReadsEnvironmentFilesAlike(t *testing.T) {
	systemdtest.Each(t, func(t *testing.T, h *systemdtest.Host) {
		texts := slices.Clone(envTexts)
		for _, refused := range refusedTexts {
			texts = append(texts, refused.envText)
		}
		for i, tt := range texts {
			if err := os.WriteFile(unitFile(h, i, "env"), []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		script := filepath.Join(h.Share(), "run") // in a command line of a unit $ means something else
		if err := os.WriteFile(script, []byte(unitEnvironments), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := h.Unit("sh", "/share/run"); err != nil {
			t.Fatal(out, err)
		}
		for i, tt := range texts {
			printed, err := os.ReadFile(unitFile(h, i, "out"))
			if err != nil {
				t.Fatal(err)
			}
			if got := fromFile(string(printed)); !slices.Equal(got, tt.want) {
				t.Errorf("%s: systemd %s says %q, we %q", tt.name, h.Version(), got, tt.want)
			}
		}
	})
}

func unitFile(h *systemdtest.Host, i int, ending string) string {
	return filepath.Join(h.Share(), fmt.Sprintf("%03d.%s", i, ending))
}

// fromFile drops what systemd gives every unit: the names of the test files have
// one letter, or none of these.
func fromFile(printed string) []string {
	systemds := []string{"HOME", "INVOCATION_ID", "JOURNAL_STREAM", "LANG", "LOGNAME", "PATH", "SHELL", "SYSTEMD_EXEC_PID", "USER", "MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE"}
	var kept []string
	for setting := range strings.SplitSeq(strings.TrimSuffix(printed, "\x00"), "\x00") {
		if name, _, _ := strings.Cut(setting, "="); name != "" && !slices.Contains(systemds, name) {
			kept = append(kept, setting)
		}
	}
	return kept
}
