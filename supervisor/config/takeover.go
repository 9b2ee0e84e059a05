package config

import (
	"fmt"
	"strings"
)

const (
	fixTakeover = "set legacyTakeover to a mapping with screens and/or processes, for example `legacyTakeover: {screens: [shop]}`"
	fixScreens  = "set legacyTakeover.screens to a list of screen names, for example `screens: [shop]`"
	fixMatchers = "set legacyTakeover.processes to a list of mappings with includes, for example `processes: [{includes: [\"node server.js\"]}]`"
	fixIncludes = "set includes to one or more parts of a command line, for example `includes: [\"node server.js\"]`"
)

func (v value) legacyTakeover(proxy Proxy) *LegacyTakeover {
	if !v.given() {
		return nil
	}
	m, ok := v.block("legacyTakeover", fixTakeover)
	if !ok {
		return nil
	}
	t := &LegacyTakeover{ForceStopTimeout: m.get("forceStopTimeoutMs").duration(proxy.ForceStopTimeout)}
	if screens := m.get("screens"); screens.given() {
		t.Screens = screens.nonEmptyStrings(fixScreens)
	}
	if processes := m.get("processes"); processes.given() {
		t.Processes = processes.legacyProcesses()
	}
	if len(t.Screens) == 0 && len(t.Processes) == 0 {
		v.wrong("must define at least one screen or process matcher", fixTakeover)
	}
	return t
}

func (v value) legacyProcesses() (all []LegacyProcess) {
	items, _ := v.items(fixMatchers)
	for i, item := range items {
		if !item.given() {
			item.wrong("must be an object", fixMatchers)
			continue
		}
		m, ok := item.block("legacyTakeover.processes[]", fixMatchers)
		if !ok {
			continue
		}
		p := LegacyProcess{Name: m.get("name").text(fmt.Sprintf("legacy process %d", i+1))}
		if p.Includes = m.get("includes").includes(); len(p.Includes) > 0 {
			all = append(all, p)
		}
	}
	return all
}

func (v value) includes() []string {
	matchers := v.nonEmptyStrings(fixIncludes)
	if len(matchers) == 0 && v.isList() {
		v.wrong("must contain at least one matcher", fixIncludes)
	}
	return matchers
}

func (v value) nonEmptyStrings(fix string) (all []string) {
	items, _ := v.items(fix)
	for _, item := range items {
		s, ok := item.asText()
		if !ok || strings.TrimSpace(s) == "" {
			item.wrong("must be a non-empty string", fix)
			continue
		}
		all = append(all, s)
	}
	return all
}
