package supervisor

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// allowedImports is the package map of docs/architecture.md. Commands may
// import everything.
var allowedImports = map[string][]string{
	"rollbridge/supervisor":                              {"rollbridge/supervisor/config", "rollbridge/supervisor/runner", "rollbridge/supervisor/systemd", "rollbridge/proxy", "rollbridge/socket/control"},
	"rollbridge/supervisor/runner":                       {"rollbridge/supervisor/config", "rollbridge/supervisor/gate", "rollbridge/supervisor/restart", "rollbridge/supervisor/systemd", "rollbridge/unitgen"},
	"rollbridge/supervisor/gate":                         {"rollbridge/supervisor/config", "rollbridge/supervisor/restart", "rollbridge/supervisor/systemd"},
	"rollbridge/supervisor/systemd":                      {},
	"rollbridge/supervisor/journaltest":                  {},
	"rollbridge/supervisor/systemd/bustest":              {"rollbridge/supervisor/systemd", "rollbridge/supervisor/systemd/systemdtest"},
	"rollbridge/supervisor/systemd/systemdtest":          {},
	"rollbridge/supervisor/systemd/systemdtest/testhost": {"rollbridge/supervisor/systemd/systemdtest"},
	"rollbridge/supervisor/gate/hosted":                  {},
	"rollbridge/unitgen":                                 {"rollbridge/supervisor/config"},
	"rollbridge/supervisor/restart":                      {"rollbridge/supervisor/config"},
	"rollbridge/supervisor/config":                       {},
	"rollbridge/proxy":                                   {},
	"rollbridge/socket":                                  {},
	"rollbridge/socket/control":                          {},
	"rollbridge/socket/sockettest":                       {},
}

func TestImportsPointOneWay(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "rollbridge/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		allowed, known := allowedImports[fields[0]]
		if strings.HasPrefix(fields[0], "rollbridge/cmd/") || strings.HasPrefix(fields[0], "rollbridge/examples/") {
			continue
		}
		if !known {
			t.Errorf("package %s has no place in the map", fields[0])
		}
		for _, imported := range fields[1:] {
			if strings.HasPrefix(imported, "rollbridge/") && !slices.Contains(allowed, imported) {
				t.Errorf("%s may not import %s", fields[0], imported)
			}
		}
	}
}
