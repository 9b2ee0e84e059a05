package pasted

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"rollbridge/supervisor/systemd/systemdtest"
)

// deployer is what the page about deploys takes for granted after the first one.
const deployer = `
useradd --create-home --shell /bin/bash deploy
usermod -aG rollbridge deploy
chown -R deploy: /srv/hello
`

// A recipe host has the page about deploys pasted.
func recipeHost(t *testing.T, h *systemdtest.Host) {
	t.Helper()
	withPackage(t, h)
	pasteAll(t, h, "", firstDeploy(t))
	paste(t, h, deployer)
}

func TestDeployPageCanBePasted(t *testing.T) {
	blocks := blocksOf(t, page(t, "docs/deploy.md"))
	systemdtest.Each(t, func(t *testing.T, h *systemdtest.Host) {
		recipeHost(t, h)
		pasteAll(t, h, "deploy", blocks)
		answers(t, h, 8182, "1")
		theScriptLeavesAFailedDeployAlone(t, h)
		theScriptRemovesOldReleases(t, h)
		theKeyMayDoThreeThings(t, h)
		theStepsOfCIDeploy(t, h)
	})
}

// script is a call of rollbridge-deploy by the deploying user, with the archive on
// its standard input.
const script = " | rollbridge-deploy -k 2 "

func theScriptLeavesAFailedDeployAlone(t *testing.T, h *systemdtest.Host) {
	releases := pasteAs(t, h, "deploy", "ls /srv/hello/releases")
	for what, command := range map[string]string{
		"a broken archive":    "echo junk" + script + "rollbridge /srv/hello",
		"a release that ends": "mkdir -p broken; echo exit 3 >broken/app; tar -cz -C broken ." + script + "rollbridge /srv/hello",
	} {
		out, err := runAs(t, h, "deploy", command)
		if code := exitCode(err); code != 1 {
			t.Errorf("%s ends with %d:\n%s", what, code, out)
		}
		if now := pasteAs(t, h, "deploy", "ls /srv/hello/releases"); now != releases {
			t.Errorf("%s leaves\n%sof\n%s", what, now, releases)
		}
		answers(t, h, 8182, "1")
	}
	out, err := runAs(t, h, "deploy", "tar -cz -C build ."+script+"-u http://127.0.0.1:1/ rollbridge /srv/hello")
	if exitCode(err) != 1 || !strings.Contains(out, "going back") {
		t.Errorf("a release that does not pass the check ends with %v:\n%s", err, out)
	}
	answers(t, h, 8182, "1")
}

func theScriptRemovesOldReleases(t *testing.T, h *systemdtest.Host) {
	paste(t, h, "sed -i 's/^proxy:/releaseRetention: {keep: 1}\\nproxy:/' /etc/rollbridge/rollbridge.yaml")
	for range 4 {
		pasteAs(t, h, "deploy", "tar -cz -C build ."+script+"rollbridge /srv/hello")
	}
	names := strings.Fields(pasteAs(t, h, "deploy", "ls /srv/hello/releases"))
	// The README's own two have other names. Of ours the newest two are left, and one
	// before them if it was still draining.
	if n := len(names) - 2; n < 2 || n > 3 || !slices.Equal(names[:2], []string{"1", "2"}) {
		t.Errorf("in the end there are %q", names)
	}
	pasteAs(t, h, "deploy", "rollbridge rollback")
}

func theKeyMayDoThreeThings(t *testing.T, h *systemdtest.Host) {
	call := func(command string) (string, error) {
		return runAs(t, h, "deploy", "tar -cz -C build . | SSH_ORIGINAL_COMMAND='"+command+"' rollbridge-ssh rollbridge /srv/hello")
	}
	for _, command := range []string{"deploy 1f3a9c2", "status", "rollback"} {
		if out, err := call(command); err != nil {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
	}
	for _, command := range []string{"", "id", "status --config /etc/passwd", "deploy", "deploy 1 2", "rollback; id", "deploy $(id)"} {
		if out, err := call(command); err == nil || strings.Contains(out, "uid=") {
			t.Errorf("%q is done: %s", command, out)
		}
	}
}

// ssh takes the place of the program: it has the server do what the key may.
const ssh = `#!/bin/sh
while getopts i:o: option; do test $option != i || test -s "$OPTARG" || exit 255; done
shift $((OPTIND - 1))
test "$1" = deploy@shop.example || exit 255
shift
SSH_ORIGINAL_COMMAND=$* exec rollbridge-ssh rollbridge /srv/hello
`

func theStepsOfCIDeploy(t *testing.T, h *systemdtest.Host) {
	if err := os.WriteFile(h.Share()+"/ssh", []byte(ssh), 0o755); err != nil {
		t.Fatal(err)
	}
	var github struct {
		Jobs map[string]struct{ Steps []struct{ Name, Run string } }
	}
	var gitlab map[string]struct{ Script []string }
	parse(t, "github-actions.yml", &github)
	parse(t, "gitlab-ci.yml", &gitlab)
	steps := github.Jobs["deploy"].Steps
	for service, step := range map[string]string{
		"GitHub": "set -eo pipefail; export DEPLOY_KEY=key DEPLOY_KNOWN_HOSTS=hosts GITHUB_SHA=5eac0d1\n" + steps[len(steps)-1].Run,
		"GitLab": "echo key >key; export DEPLOY_KEY=key DEPLOY_KNOWN_HOSTS=hosts CI_COMMIT_SHA=668730a\n" + strings.Join(gitlab["deploy"].Script, "\n"),
	} {
		out := pasteAs(t, h, "deploy", "PATH=/share:$PATH DEPLOY_SERVER=deploy@shop.example bash -e -c '"+strings.ReplaceAll(step, "'", `'\''`)+"'")
		if !strings.Contains(out, "active: ") {
			t.Errorf("%s: %s", service, out)
		}
	}
	if out := pasteAs(t, h, "deploy", "rollbridge status"); !strings.Contains(out, "5eac0d1") || !strings.Contains(out, "668730a") {
		t.Errorf("the revisions are not told: %s", out)
	}
}

// parse reads a YAML file of the recipes.
func parse(t *testing.T, name string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(page(t, "examples/deploy/"+name)), into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// What is not run here is at least read by the programs that it is for, where they
// are installed.
func TestRecipesAreWellFormed(t *testing.T) {
	for _, command := range []string{
		"shellcheck --shell=sh rollbridge-deploy rollbridge-ssh",
		"ruby -wc rollbridge.rake",
		"ansible-playbook --syntax-check ansible.yml",
	} {
		t.Run(strings.Fields(command)[0], func(t *testing.T) {
			argv := strings.Fields(command)
			if _, err := exec.LookPath(argv[0]); err != nil {
				t.Skip(err)
			}
			cmd := exec.Command(argv[0], argv[1:]...)
			cmd.Dir = "../../../examples/deploy"
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	var playbook []map[string]any
	parse(t, "ansible.yml", &playbook)
}

// exitCode is the exit code of a command that ran, else -1.
func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}
