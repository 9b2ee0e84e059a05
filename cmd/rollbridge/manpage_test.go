package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

const pages = "../../packaging/man/"

// releaseDate is the day of the version in debian/changelog.
func releaseDate(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../debian/changelog")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^ -- .*>  (.*)$`).FindStringSubmatch(string(text))
	if found == nil {
		t.Fatal("no date in debian/changelog")
	}
	day, err := time.Parse(time.RFC1123Z, found[1])
	if err != nil {
		t.Fatal(err)
	}
	return day.Format("January 2, 2006")
}

func (m *mdoc) head(date, title, section, name, description string) {
	m.line(".\\\" Written by: make docs")
	m.line(".Dd %s", date)
	m.line(".Dt %s %s", title, section)
	m.line(".Os")
	m.section("name")
	m.line(".Nm %s", name)
	m.line(".Nd %s", description)
}

// commandPage is rollbridge(1), made of the help texts.
func commandPage(date string) string {
	var m mdoc
	m.head(date, "ROLLBRIDGE", "1", "rollbridge", "deploy web applications without dropping a request")
	m.section("synopsis")
	m.line(".Nm\n.Ar command\n.Op Ar options")
	m.line(".Nm\n.Fl Fl help | Fl Fl version")
	m.section("description")
	m.paragraph(strings.Split(usage(), "\n\n")[1])
	holds := strings.Split(strings.TrimSpace(manualHead), "\n\n")
	for _, text := range holds[4:] {
		m.paragraph(text)
	}
	m.section("commands")
	for _, c := range commands() {
		m.command(c)
	}
	m.section("environment")
	m.list([][2]string{
		{"Ev ROLLBRIDGE_RUNNER", "What keeps the processes of a daemon running, unless `--runner` says it: `auto`, `systemd` or `direct`."},
		{"Ev NO_COLOR", "Set, it switches colours off."},
		{"Ev XDG_RUNTIME_DIR , XDG_STATE_HOME", "Where control socket and state of a user's own daemons lie, see rollbridge.yaml(5)."},
	})
	m.section("files")
	m.list([][2]string{
		{"Pa /etc/rollbridge/NAME.yaml", "The configuration of an instance; `rollbridge.yaml` is that of the default one."},
		{"Pa ~/.config/rollbridge/NAME.yaml", "The configuration of a user's own instance."},
		{"Pa /run/rollbridge/NAME/control.sock", "Its control socket: who may write to it, root and group `rollbridge`, may use the commands."},
		{"Pa /var/lib/rollbridge/NAME/", "Its state."},
	})
	m.section("exit status")
	m.markdown(holds[3])
	m.section("examples")
	m.literal("rollbridge validate\nrollbridge deploy --release-path /srv/shop/releases/42\nrollbridge status\nrollbridge logs --process web --follow\nrollbridge rollback\n")
	m.section("see also")
	m.line(".Xr rollbridge.yaml 5 ,\n.Xr rollbridge.service 8")
	m.line(".Pp\n.Pa /usr/share/doc/rollbridge/")
	return m.String()
}

func (m *mdoc) command(c *command) {
	m.subsection(c.name)
	m.line(".Nm\n.Cm %s\n%s", c.name, protect(c.synopsis))
	m.below = true
	m.paragraph(c.short + ".")
	for _, text := range strings.Split(c.long, "\n\n") {
		m.paragraph(text)
	}
	var options [][2]string
	c.flagSet().VisitAll(func(f *pflag.Flag) {
		value, text := optionUsage(f)
		name := "Fl Fl " + f.Name
		if f.Shorthand != "" {
			name = "Fl " + f.Shorthand + " , " + name
		}
		if value != "" {
			name += " Ar " + strings.Trim(value, "<>")
		}
		options = append(options, [2]string{name, text})
	})
	if options != nil {
		m.list(options)
	}
	m.markdown(manualNotes[c.name])
	m.paragraph("Example:")
	m.literal(c.example)
}

// configPage is rollbridge.yaml(5), made of docs/config.md.
func configPage(t *testing.T, date string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(text), "\n")
	var m mdoc
	m.head(date, "ROLLBRIDGE.YAML", "5", "rollbridge.yaml", "configuration of a rollbridge instance")
	m.section("synopsis")
	m.line(".Pa /etc/rollbridge/rollbridge.yaml\n.Pp\n.Pa /etc/rollbridge/NAME.yaml\n.Pp\n.Pa ~/.config/rollbridge/NAME.yaml")
	m.section("description")
	m.markdown(body)
	m.section("see also")
	m.line(".Xr rollbridge 1 ,\n.Xr rollbridge.service 8")
	return m.String()
}

func TestManualPagesAreMadeOfTheTexts(t *testing.T) {
	date := releaseDate(t)
	compare(t, pages+"rollbridge.1", commandPage(date))
	compare(t, pages+"rollbridge.yaml.5", configPage(t, date))
}

// The page of the units is written by hand; what it says of them stays true.
func TestManualOfTheUnitsFitsThem(t *testing.T) {
	text, err := os.ReadFile(pages + "rollbridge.service.8")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	if want := ".Dd " + releaseDate(t) + "\n"; !strings.Contains(page, want) {
		if !*update {
			t.Errorf("no %s", want)
		}
		page = regexp.MustCompile(`(?m)^\.Dd .*\n`).ReplaceAllLiteralString(page, want)
		compare(t, pages+"rollbridge.service.8", page)
	}
	files, err := filepath.Glob("../../packaging/systemd*/rollbridge*")
	if err != nil || len(files) < 6 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if name := filepath.Base(file); !strings.Contains(page, name) {
			t.Errorf("%s is not in the page", name)
		}
	}
	doc, err := os.ReadFile("../../docs/systemd.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(doc), "## The daemon's own unit\n")
	table, _, _ = strings.Cut(table, "\n```")
	for _, command := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(table, -1) {
		if !strings.Contains(page, command[1]) {
			t.Errorf("what %s does to processes is in docs/systemd.md, but not in the page", command[1])
		}
	}
	unit, err := os.ReadFile("../../packaging/systemd/rollbridge.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"WatchdogSec", "TimeoutStopSec", "RestartSec", "KillMode"} {
		said := regexp.MustCompile(key + `=(\S+)`).FindStringSubmatch(page)
		if said == nil || !strings.Contains(string(unit), "\n"+said[0]+"\n") {
			t.Errorf("%s: the page says %q, the unit does not", key, said)
		}
	}
}

// mandoc finds what groff and man would stumble over.
func TestManualPagesAreCleanMdoc(t *testing.T) {
	if _, err := exec.LookPath("mandoc"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	for _, page := range []string{"rollbridge.1", "rollbridge.yaml.5", "rollbridge.service.8"} {
		out, err := exec.Command("mandoc", "-Tlint", "-Wall", pages+page).Output()
		for line := range strings.Lines(string(out)) { // whether other pages are installed is another matter
			if !strings.Contains(line, "referenced manual not found") && !strings.Contains(line, "mandoc.db") {
				t.Error(line)
			}
		}
		if code := new(exec.ExitError); err != nil && !errors.As(err, &code) {
			t.Fatal(err)
		}
	}
}
