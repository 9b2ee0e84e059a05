package stage

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// prepare makes the release directories and the configuration.
func (s *Stage) prepare(ctx context.Context, opt Options) error {
	if resolved, err := filepath.EvalSymlinks(s.dir); err == nil {
		s.dir = resolved // /proc tells resolved paths
		s.config = filepath.Join(s.dir, "rollbridge.yaml")
	}
	if err := os.Chmod(s.dir, 0o755); err != nil {
		return err
	}
	account, err := chooseAccount(s.dir)
	if err != nil {
		return err
	}
	if err := s.makeState(account); err != nil {
		return err
	}
	if err := s.makeReleases(ctx); err != nil {
		return err
	}
	return s.makeConfig(ctx, opt, account)
}

// chooseAccount says who the shop runs as: nobody when we are root, "" for
// ourselves otherwise. In a directory that nobody cannot reach it is root.
func chooseAccount(dir string) (string, error) {
	if os.Getuid() != 0 {
		return "", nil
	}
	if _, err := user.Lookup("nobody"); err != nil {
		return "root", nil
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return "", err
		}
		if info.Mode()&0o001 == 0 {
			return "root", nil
		}
	}
	return "nobody", nil
}

// makeState makes the directory that all releases share.
func (s *Stage) makeState(account string) error {
	dir := filepath.Join(s.dir, "state")
	if err := os.Mkdir(dir, 0o755); err != nil || account == "" {
		return err
	}
	u, err := user.Lookup(account)
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	return os.Chown(dir, uid, -1)
}

// makeReleases builds the shop once and puts it into three releases.
func (s *Stage) makeReleases(ctx context.Context) error {
	program := filepath.Join(s.dir, "shop")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "rollbridge/examples/shop")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the shop: %w\n%s", err, out)
	}
	for _, release := range []string{First, Second, Broken} {
		if err := s.makeRelease(release, program); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(s.dir, "releases", Broken, "BROKEN"), []byte("unhealthy\n"), 0o644)
}

func (s *Stage) makeRelease(release, program string) error {
	dir := filepath.Join(s.dir, "releases", release)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "VERSION"), []byte(release+"\n"), 0o644); err != nil {
		return err
	}
	return os.Link(program, filepath.Join(dir, "shop"))
}

// makeConfig adapts the configuration of the example, so that what users read
// is what runs.
func (s *Stage) makeConfig(ctx context.Context, opt Options, account string) error {
	file, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}/rollbridge.yaml", "rollbridge/examples/shop").Output()
	if err != nil {
		return fmt.Errorf("find the configuration of the shop: %w", err)
	}
	text, err := os.ReadFile(strings.TrimSpace(string(file)))
	if err != nil {
		return err
	}
	adapted, err := adapt(string(text), s.dir, opt, account, os.Getpid())
	if err != nil {
		return err
	}
	return os.WriteFile(s.config, []byte(adapted), 0o644)
}

// adapt gives the configuration the stage's own addresses and times. Ports lie
// below those the kernel gives to outgoing connections, which the load would
// otherwise take away; seed keeps stages of the same machine apart.
func adapt(text, dir string, opt Options, account string, seed int) (string, error) {
	base := 10_000 + seed%200*100
	changes := [][2]string{
		{"port: 8182 ", "port: 0 "},
		{"healthTimeoutMs: 30000", fmt.Sprintf("healthTimeoutMs: %d", opt.Health.Milliseconds())},
		{"drainTimeoutMs: 60000", fmt.Sprintf("closeSpreadMs: 300\n  drainTimeoutMs: %d", opt.Drain.Milliseconds())},
		{"{from: 18000, to: 18099}", fmt.Sprintf("{from: %d, to: %d}", base, base+79)},
		{"{from: 18100, to: 18199}", fmt.Sprintf("{from: %d, to: %d}", base+80, base+99)},
		{"\nprocesses:", fmt.Sprintf("\ncontrol: {path: %q}\n\nprocesses:", filepath.Join(dir, "control.sock"))},
	}
	if account != "" {
		changes = append(changes, [2]string{"#user: www-data", "user: " + account})
	}
	for _, c := range changes {
		if strings.Count(text, c[0]) != 1 {
			return "", fmt.Errorf("examples/shop/rollbridge.yaml must hold %q exactly once", c[0])
		}
		text = strings.Replace(text, c[0], c[1], 1)
	}
	return text, nil
}
