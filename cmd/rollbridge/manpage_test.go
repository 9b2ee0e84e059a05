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
	found := regexp.MustCompile(`(?m)^ -- .*>  (.*)$`).FindStringSubmatch(read(t, "../../debian/changelog"))
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
	_, body, _ := strings.Cut(read(t, "../../docs/config.md"), "\n")
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

// unitPage is rollbridge.service(8): written by hand, but for its date and for
// the tables between comments, which are those of docs/systemd.md.
func unitPage(t *testing.T, page, date string) string {
	t.Helper()
	text := read(t, "../../docs/systemd.md")
	page = regexp.MustCompile(`(?m)^\.Dd .*$`).ReplaceAllString(page, ".Dd "+date)
	return regexp.MustCompile(`(?s)\.\\" docs/systemd\.md, [^\n]*: \|.*?\.\\" end\n`).ReplaceAllStringFunc(page, func(part string) string {
		head, rest, _ := strings.Cut(part, "\n")
		_, end, _ := strings.Cut(rest, `.\" end`)
		section, title, _ := strings.Cut(head, ": ")
		_, section, _ = strings.Cut(section, ", ")
		_, table, _ := strings.Cut(text, "\n## "+section+"\n")
		_, table, found := strings.Cut(table, "\n"+title+"\n")
		if !found {
			t.Fatalf("docs/systemd.md has no table %s under %s", title, section)
		}
		table, _, _ = strings.Cut(table, "\n\n")
		var m mdoc
		m.table(strings.Split(title+"\n"+table, "\n"))
		return head + "\n" + m.String() + `.\" end` + end
	})
}

func TestManualPagesAreMadeOfTheTexts(t *testing.T) {
	date := releaseDate(t)
	compare(t, pages+"rollbridge.1", commandPage(date))
	compare(t, pages+"rollbridge.yaml.5", configPage(t, date))
	compare(t, pages+"rollbridge.service.8", unitPage(t, read(t, pages+"rollbridge.service.8"), date))
}

func TestManualOfTheUnitsNamesThem(t *testing.T) {
	page := read(t, pages+"rollbridge.service.8")
	files, err := filepath.Glob("../../packaging/systemd*/rollbridge*")
	if err != nil || len(files) < 6 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if name := filepath.Base(file); !strings.Contains(page, name) {
			t.Errorf("%s is not in the page", name)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
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
