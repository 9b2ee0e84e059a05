package main

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the files that tests compare with")

// manual is docs/cli.md, made of the help texts.
func manual() string {
	var b strings.Builder
	b.WriteString(manualHead)
	b.WriteString("```\n" + usage() + "```\n")
	for _, c := range commands() {
		b.WriteString("\n## " + c.name + "\n\n" + c.short + ".\n\n```\n" + c.help() + "```\n")
		if note := manualNotes[c.name]; note != "" {
			b.WriteString("\n" + note)
		}
	}
	return b.String()
}

const manualHead = `# The command line

This page is made of the help texts: ` + "`go test ./cmd/rollbridge -run TestManual -update`" + ` writes it.

## What holds for every command

| exit code | means |
|---|---|
| 0 | done |
| 1 | it failed, or problems were found |
| 2 | wrong usage; nothing was done |
| 3 | no daemon is there |

Results go to stdout, everything else to stderr. An error is one line, ` + "`error: …`" + `, often with a second one,
` + "`hint: …`" + `, that says what to do; output of a process that failed may stand between them.

` + "`deploy rollback ensure-daemon status stop restart cancel shutdown`" + ` print JSON when stdout is no terminal, and text for
people on a terminal; ` + "`--json` and `--text`" + ` decide otherwise. ` + "`list validate units logs events version`" + ` print text unless
` + "`--json`" + ` is given. In JSON, fields may be added in later versions; none changes its meaning. Colours appear only on a terminal, and not
when ` + "`NO_COLOR`" + ` is set or ` + "`TERM`" + ` is ` + "`dumb`" + `.

` + "`-c shop`" + ` names an instance: ` + "`~/.config/rollbridge/shop.yaml`" + ` (not for root), else ` + "`/etc/rollbridge/shop.yaml`" + `, unless a file ` + "`shop`" + ` is
here. Commands that talk to the daemon of an instance do not need to read its configuration: whoever may use its control socket may
give it commands, also when the file is broken; then the daemon says so.

Where systemd holds the sockets of a daemon, ` + "`deploy rollback restart ensure-daemon`" + ` start it when it is stopped. The other commands ask
systemd first, and leave it as it is: exit code 3, or for ` + "`logs`" + ` and ` + "`events`" + ` what the journal has. A daemon that refuses a command because it
is being restarted has begun nothing: ` + "`deploy rollback stop restart status`" + ` wait for the next one, for two minutes or ` + "`--timeout`" + `.

The Debian package completes commands, options and values in bash, zsh and fish. Without it, ` + "`source <(rollbridge completion bash)`" + `
in ` + "`~/.bashrc`" + ` does, the same with ` + "`zsh`" + ` after ` + "`compinit`" + ` in ` + "`~/.zshrc`" + `, and in fish ` + "`rollbridge completion fish | source`" + `.

`

// manualNotes are what the help texts are too short for.
var manualNotes = map[string]string{
	"daemon": "With `--user` a daemon works for one user, without root: under that user's own systemd (`systemd --user`), with all processes\n" +
		"running as that user. Its configurations are `~/.config/rollbridge/NAME.yaml`; `--config` with such a file lets every command find its\n" +
		"daemon, whose control socket is `/run/user/UID/rollbridge/NAME/control.sock`. So that it runs without a login, root says once\n" +
		"`loginctl enable-linger USER`.\n",
	"deploy": "The answer is `{\"status\": \"success\", \"activeReleaseId\": …, \"previousReleaseId\": …}`, with `warnings` when something is to\n" +
		"be looked at. A deploy belongs to the daemon: when the command is killed or loses its terminal, the deploy goes on.\n",
	"list": "The state is `running`, `stopped`, `failed` (its daemon ended, and systemd does not start it again), `broken` (its configuration cannot\n" +
		"be used, so that nothing runs), `denied` (this user may not ask) or `no answer`. Processes are those of the active release, the services and the\n" +
		"singletons: how many run, of how many. A daemon that runs although its configuration is gone is listed, too.\n\n" +
		"The exit code is 0 when all could be asked, whatever they said, and 1 with a `denied` or `no answer`. For monitoring, `--json` is\n" +
		"`{\"instances\": [{\"instance\", \"own\", \"config\", \"application\", \"state\", \"activeReleaseId\", \"activatedAt\", \"proxy\", \"processes\": {\"running\",\n" +
		"\"total\"}, \"operation\", \"problems\": []}]}`: `own` tells the calling user's instances from the host's; `activeReleaseId` is null when there is\n" +
		"none or it is not known; what else is not known is left out. `problems` is empty when all is well.\n",
	"ensure-daemon": "The log and the pid file lie beside the control socket and are readable by their owner only. The start is noticed as soon\n" +
		"as the daemon is ready, and so is its death. Several calls at once start one daemon.\n\n" +
		"Where the package is installed, the daemon of an instance is a unit, and systemd starts it: as root, by a job that is waited for;\n" +
		"as another user, by a connection to the control socket, which takes the right to use it. The log is in the journal then, and the\n" +
		"options for log and pid file have no effect. An upgrade of the package does not get in the way: a daemon that this program has\n" +
		"just replaced is told in a note.\n",
	"shutdown": "The exit code is 3 when there was neither a daemon nor a socket to close.\n",
	"units": "Systemd takes these settings over the bus; `--json` shows them as it does. A scope exists only around a process that runs, so its\n" +
		"text is for reading only. Names are those of the first deploy of a release id; later ones have `:2`, `:3` after the id.\n" +
		"\n`--daemon` prints byte for byte what `rollbridge-generator` has systemd read for a configuration in `/etc/rollbridge`: see\n" +
		"[systemd.md](systemd.md#the-units-of-the-daemon). What is in force is what `systemctl cat rollbridge.socket` shows.\n",
	"logs": "With `--follow` each line is `time process [stream] text`. `--since today` begins at midnight where the command runs. When no\n" +
		"daemon runs and the journal has something, it is shown with a note on stderr and exit code 0: of each process the release\n" +
		"that wrote last, or those that `--release` and `--since` ask for. See [logging.md](logging.md).\n",
	"events": "What the events are: [logging.md](logging.md). Without a daemon they come from the journal, as with `logs`.\n",
}

func TestManualIsMadeOfTheHelpTexts(t *testing.T) {
	compare(t, "../../docs/cli.md", manual())
}

// compare fails when a file does not hold the text; with -update it is written.
func compare(t *testing.T, file, text string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != text {
		t.Errorf("%s differs; -update writes it. Now:\n%s", file, text)
	}
}

func TestHelpFitsItsCommand(t *testing.T) {
	for _, c := range commands() {
		if c.short == "" || c.long == "" || c.run == nil {
			t.Errorf("%s: texts are missing", c.name)
		}
		for line := range strings.Lines(c.example) {
			if !strings.HasPrefix(line, "rollbridge "+c.name) {
				t.Errorf("%s: example %q is of something else", c.name, line)
			}
		}
		for line := range strings.Lines(c.long) {
			if len(line) > 81 {
				t.Errorf("%s: too wide: %q", c.name, line)
			}
		}
	}
}

func TestExamplesOfHelpParse(t *testing.T) {
	for _, c := range commands() {
		words := strings.Fields(c.example)[2:]
		flags := c.flagSet()
		if err := flags.Parse(words); err != nil {
			t.Errorf("%s: example %q: %v", c.name, c.example, err)
		}
		if missing := c.missing(words); missing != "" || flags.NArg() > c.arguments {
			t.Errorf("%s: example %q: missing %q, %d arguments", c.name, c.example, missing, flags.NArg())
		}
	}
}
