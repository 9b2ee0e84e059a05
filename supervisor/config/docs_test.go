package config

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func reference(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// section is the part of the reference below the headline or line that
// contains title, up to the next headline.
func section(text, title string) string {
	_, rest, _ := strings.Cut(text, title+"\n")
	body, _, _ := strings.Cut(rest, "\n#")
	return body
}

var sections = map[string]string{
	"": "## Top level", "processes[]": "## `processes`", "processes[].port": "### `port`", "processes[].health": "### `health`",
	"processes[].lifecycle": "### `lifecycle`", "processes[].restart": "### `restart`", "processes[].memory": "### `memory`",
	"legacyTakeover.processes[]": "Of `legacyTakeover.processes`:",
}

func TestReferenceHasEveryKeyAndNoOther(t *testing.T) {
	text := reference(t)
	row := regexp.MustCompile("(?m)^\\| `(\\w+)` \\|")
	for block, known := range keys {
		title := sections[block]
		if title == "" {
			title = "## `" + block + "`"
		}
		described := map[string]bool{}
		for _, found := range row.FindAllStringSubmatch(section(text, title), -1) {
			described[found[1]] = true
		}
		if block == "legacyTakeover" { // its section holds the table of its processes too
			delete(described, "includes")
			delete(described, "name")
		}
		for _, key := range known {
			if !described[key] {
				t.Errorf("%s: %s is not described", title, key)
			}
			delete(described, key)
		}
		for key := range described {
			t.Errorf("%s: %s is described, but unknown", title, key)
		}
	}
}

func TestEnvironmentFileOfTheReferenceIsRead(t *testing.T) {
	_, rest, _ := strings.Cut(reference(t), "```sh\n")
	example, _, _ := strings.Cut(rest, "```")
	got, err := parseEnvFile(example)
	want := []string{
		"PLAIN=two words  # this is part of the value; blanks around a value are not", `SINGLE=kept as it is: \n $HOME "`,
		"DOUBLE=a backslash protects \" \\ $ ` and nothing else", "PEM=-----BEGIN KEY-----\na value in quotes may have several lines\n-----END KEY-----",
		"LONG=a line that ends with a backslash goes on in the next one", "BARE=without quotes a backslash protects any character",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestExamplesOfTheReferenceAreValid(t *testing.T) {
	opt := asRoot()
	opt.LookupUser = ids(map[string]int{"shop": 990})
	opt.UID, opt.GID = 990, 990
	blocks := strings.Split(reference(t), "```yaml\n")[1:]
	if len(blocks) < 2 {
		t.Fatal("no examples")
	}
	for _, block := range blocks {
		src, _, _ := strings.Cut(block, "```")
		if _, problems := Parse("/srv/shop/rollbridge.yaml", []byte(src), opt); len(problems) > 0 {
			t.Errorf("%v\n%s", problems, src)
		}
	}
}
