package unitgen_test

import (
	"path"
	"regexp"
	"strings"
	"testing"

	"rollbridge/supervisor/config"
	"rollbridge/unitgen"
)

func TestNames(t *testing.T) {
	spec := func(policy config.Policy, change func(*config.Spec)) config.Spec {
		s := config.Spec{Application: "shop", Process: "worker", Instance: "worker", Policy: policy, Strategy: config.Persistent, Release: "v42", Generation: 1}
		if change != nil {
			change(&s)
		}
		return s
	}
	for want, s := range map[string]config.Spec{
		"rollbridge-shop.worker.v42.service":     spec(config.Companion, nil),
		"rollbridge-shop.worker.v42:2.service":   spec(config.Companion, func(s *config.Spec) { s.Generation = 2 }),
		"rollbridge-shop.worker.v42.0.service":   spec(config.Companion, func(s *config.Spec) { s.Instance = "worker#0" }),
		"rollbridge-shop.worker.v42:3.7.service": spec(config.Companion, func(s *config.Spec) { s.Instance, s.Replica, s.Generation = "worker#7", 7, 3 }),
		"rollbridge-shop.worker.service":         spec(config.Singleton, func(s *config.Spec) { s.Generation = 2 }),
		"rollbridge-shop.hub.v42.service":        spec(config.Service, func(s *config.Spec) { s.Process, s.Instance, s.Strategy = "hub", "hub", config.Handoff }),
		"rollbridge-shop.broker.service":         spec(config.Service, func(s *config.Spec) { s.Process, s.Instance = "broker", "broker" }),

		`rollbridge-my-shop.a\x2eb_c.1\x2e0-rc.service`: spec(config.Companion, func(s *config.Spec) {
			s.Application, s.Process, s.Instance, s.Release = "my-shop", "a.b_c", "a.b_c", "1.0-rc"
		}),
		`rollbridge-a\x3ab\x40\x5c\x20\xc3\xa4.worker.service`: spec(config.Singleton, func(s *config.Spec) { s.Application = `a:b@\ ä` }),
	} {
		if got := unitgen.ServiceName(s); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := unitgen.ScopeName(spec(config.Proxied, func(s *config.Spec) { s.Generation = 2 }), 12); got != "rollbridge-shop.worker.v42:2.12.scope" {
		t.Error(got)
	}
	for application, want := range map[string]string{
		"shop":    "rollbridge-shop.slice",
		"my-shop": `rollbridge-my\x2dshop.slice`,
		"-a.b":    `rollbridge-\x2da\x2eb.slice`,
	} {
		if got := unitgen.SliceName(application); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestNamesOfAnyLengthAreValidAndDiffer(t *testing.T) {
	seen := map[string]int{}
	for n := 1; n <= 200; n++ {
		for _, c := range []string{"a", "-", "ä", "."} {
			application := strings.Repeat(c, n)[:n]
			for _, name := range everyName(config.Spec{Application: application, Process: strings.Repeat("p", 100), Release: strings.Repeat("1.", 100)[:n]}, 1) {
				checkName(t, name)
				if seen[name]++; seen[name] > 1 {
					t.Errorf("%s is the name of two", name)
				}
			}
		}
	}
}

// Two processes have the same unit only when they are the same.
func FuzzNames(f *testing.F) {
	f.Add("shop", "worker", "v42", 1, 0, "shop", "worker.v42", "1", 1, 0)
	f.Add("shop", "worker", "v42:2", 1, 0, "shop", "worker", "v42", 2, 0)
	f.Add("a", "b", "c", 1, 1, "a", "b", "c.1", 1, 0)
	f.Add(`a\x2eb`, "c", "d", 1, 1, "a.b", "c", "d", 1, 1)
	f.Add(strings.Repeat("x", 250), "a", "c", 1, 1, strings.Repeat("x", 250), "b", "c", 1, 1)
	f.Add(strings.Repeat("-x", 100), "a", "c", 1, 1, strings.Repeat("-x", 99)+"-y", strings.Repeat("b", 200), "c", 1, 1)
	f.Fuzz(func(t *testing.T, a, p, r string, g, n int, a2, p2, r2 string, g2, n2 int) {
		if a == "" || a2 == "" || g < 1 || g2 < 1 || n < 0 || n2 < 0 {
			t.Skip() // there are none of these
		}
		one := everyName(config.Spec{Application: a, Process: p, Release: r, Generation: g, Replica: n}, n)
		two := everyName(config.Spec{Application: a2, Process: p2, Release: r2, Generation: g2, Replica: n2}, n2)
		what := map[string]bool{
			"slice":     a == a2,
			"singleton": a == a2 && p == p2,
			"companion": a == a2 && p == p2 && r == r2 && g == g2,
			"replica":   a == a2 && p == p2 && r == r2 && g == g2 && n == n2,
			"scope":     a == a2 && p == p2 && r == r2 && g == g2 && n == n2,
		}
		for kind, name := range one {
			checkName(t, name)
			if !strings.HasSuffix(name, ".slice") {
				checkPattern(t, name, a, true)
				checkPattern(t, name, a2, a == a2)
			}
			for kind2, name2 := range two {
				if same := name == name2; same != (kind == kind2 && what[kind]) {
					t.Errorf("%s %s of %q %q %q %d %d, %s %s of %q %q %q %d %d", kind, name, a, p, r, g, n, kind2, name2, a2, p2, r2, g2, n2)
				}
			}
		}
	})
}

// everyName is the name of every kind of unit for one process.
func everyName(s config.Spec, n int) map[string]string {
	s.Instance, s.Strategy = s.Process, config.Persistent
	singleton, replica := s, s
	s.Policy, replica.Policy = config.Companion, config.Companion
	singleton.Policy = config.Singleton
	replica.Instance = s.Process + "#"
	return map[string]string{
		"slice":     unitgen.SliceName(s.Application),
		"singleton": unitgen.ServiceName(singleton),
		"companion": unitgen.ServiceName(s),
		"replica":   unitgen.ServiceName(replica),
		"scope":     unitgen.ScopeName(s, n),
	}
}

// validName is systemd's charset, with whole escapes and without the @ that it
// refuses in scopes. In a slice a dash would nest.
var (
	validName  = regexp.MustCompile(`^rollbridge-([A-Za-z0-9:_.-]|\\x[0-9a-f]{2})*\.(service|scope)$`)
	validSlice = regexp.MustCompile(`^rollbridge-([A-Za-z0-9:_]|\\x[0-9a-f]{2})+\.slice$`)
)

func checkName(t *testing.T, name string) {
	t.Helper()
	if !validName.MatchString(name) && !validSlice.MatchString(name) || len(name) > 200 {
		t.Errorf("%s is no valid name, or too long", name)
	}
	if matched, err := path.Match("rollbridge-*", name); !matched || err != nil {
		t.Errorf("%s does not match rollbridge-*", name)
	}
}

// checkPattern matches a name against the pattern of an application.
func checkPattern(t *testing.T, name, application string, want bool) {
	t.Helper()
	pattern := unitgen.Pattern(application)
	if got := strings.HasPrefix(name, strings.TrimSuffix(pattern, "*")); got != want {
		t.Errorf("%s matches %s: %v", name, pattern, got)
	}
}
