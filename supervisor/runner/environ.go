package runner

import (
	"slices"
	"strings"

	"rollbridge/supervisor/config"
)

// environment stands in for config.Environment, which has the rules; it is to
// be replaced by it.
func environment(daemon []string, s config.Spec) []string {
	var env []string
	for _, entry := range slices.Concat(daemon, s.Env) {
		name, _, _ := strings.Cut(entry, "=")
		env = slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") })
		env = append(env, entry)
	}
	return env
}
