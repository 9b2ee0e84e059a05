package config

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// keys are the known keys of every block, in the order of the reference.
var keys = map[string][]string{
	"": {"application", "user", "group", "envFile", "proxy", "control", "processes", "releaseRetention", "statePath",
		"legacyTakeover", "shutdownTimeoutMs", "restartGraceMs", "resumeTimeoutMs"},
	"proxy": {"host", "port", "listen", "upstreamHost", "healthPath", "healthTimeoutMs", "drainTimeoutMs",
		"forceStopTimeoutMs", "trustedProxies", "holdTimeoutMs", "maxHeldRequests", "closeSpreadMs", "upgradeDrainTimeoutMs"},
	"control": {"path", "mode", "owner", "group"},
	"processes[]": {"id", "command", "policy", "deployStrategy", "cwd", "env", "envFile", "user", "group", "port", "health",
		"gracefulStopMs", "stopSignal", "lifecycle", "nonBlockingDrain", "restartDelayMs", "restart", "memory",
		"replicas", "outputLines"},
	"processes[].port":           {"from", "to"},
	"processes[].health":         {"path", "timeoutMs", "intervalMs", "startDelayMs"},
	"processes[].lifecycle":      {"quietCommand", "drainCommand", "stopCommand", "drainTimeoutMs"},
	"processes[].restart":        {"maxRestarts", "windowMs", "backoffFactor", "maxDelayMs"},
	"processes[].memory":         {"limitBytes", "warnBytes", "hardLimitBytes", "checkIntervalMs"},
	"releaseRetention":           {"keep", "maxAgeMs"},
	"legacyTakeover":             {"screens", "processes", "forceStopTimeoutMs"},
	"legacyTakeover.processes[]": {"name", "includes"},
}

// mapping is an object of the file with its merge keys resolved.
type mapping struct {
	value
	names  []string // in the order of the file
	fields map[string]field
}

type field struct{ key, value *yaml.Node }

// object reads an object with any keys. What is not given reads as an empty
// one; ok is false, and the problem reported, when it is something else.
func (v value) object(fix string) (m mapping, ok bool) {
	m = mapping{value: v, fields: map[string]field{}}
	if !v.given() {
		return m, true
	}
	if v.node.Kind != yaml.MappingNode {
		v.wrong("must be an object", fix)
		return m, false
	}
	m.add(v.node)
	return m, true
}

// block reads an object whose keys are known.
func (v value) block(name, fix string) (m mapping, ok bool) {
	m, ok = v.object(fix)
	m.rejectUnknown(name)
	return m, ok
}

// get returns the value of a key, given or not.
func (m mapping) get(name string) value {
	v := value{r: m.r, path: join(m.path, name), key: name, at: m.at}
	if f, ok := m.fields[name]; ok {
		v.node = follow(f.value)
		v.at = v.node
	}
	return v
}

// add takes over the pairs of a node: its own first, since they win over the
// merged ones.
func (m *mapping) add(n *yaml.Node) {
	var merged []*yaml.Node
	own := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		name := follow(key)
		switch {
		case name.Kind != yaml.ScalarNode:
			m.r.report(key, m.path, "a key must be a name", "write the key as plain text, not as a list or an object")
		case name.ShortTag() == "!!merge":
			merged = append(merged, val)
		case own[name.Value] != nil:
			m.r.report(key, join(m.path, name.Value), "duplicate key "+join(m.path, name.Value),
				fmt.Sprintf("keep one of the two: it is already set on line %d", own[name.Value].Line))
		default:
			own[name.Value] = key
			m.put(name.Value, field{key, val})
		}
	}
	for _, n := range merged {
		m.merge(n, true)
	}
}

func (m *mapping) put(name string, f field) {
	if _, taken := m.fields[name]; taken {
		return
	}
	m.names = append(m.names, name)
	m.fields[name] = f
}

// merge takes over what `<<` names: one object or, once, a list of objects.
func (m *mapping) merge(n *yaml.Node, list bool) {
	source := follow(n)
	switch {
	case source.Kind == yaml.MappingNode:
		m.add(source)
	case source.Kind == yaml.SequenceNode && list:
		for _, c := range source.Content {
			m.merge(c, false)
		}
	default:
		m.r.report(n, m.path, "<< must name an object or a list of objects", "use the alias of an anchored object: `<<: *name`")
	}
}

// rejectUnknown reports the keys that the block does not have. At the top
// level, keys that begin with x- are free: a place for anchors.
func (m mapping) rejectUnknown(block string) {
	for _, name := range m.names {
		if slices.Contains(keys[block], name) || block == "" && strings.HasPrefix(name, "x-") {
			continue
		}
		path := join(m.path, name)
		m.r.report(m.fields[name].key, path, "unknown key "+path, unknownFix(name, keys[block]))
	}
}

func unknownFix(name string, known []string) string {
	if near := nearest(name, known, ""); near != "" {
		return fmt.Sprintf("did you mean `%s`? Rename the key, or remove it", near)
	}
	return "remove it; the keys here are " + strings.Join(known, ", ")
}

// join makes the full key of a part of an object.
func join(path, name string) string {
	if !isPlain(name) {
		return fmt.Sprintf("%s[%q]", path, clip(name, 60))
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

// isPlain reports whether a key can stand in a path as it is.
func isPlain(name string) bool {
	for _, c := range name {
		if c <= ' ' || c == '.' || c == '"' || c >= 0x7f {
			return false
		}
	}
	return name != "" && len(name) <= 60
}
