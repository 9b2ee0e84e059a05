package main

import (
	"errors"
	"slices"
	"testing"

	"rollbridge/supervisor/config"
)

func TestUserModeAsksForSystemd(t *testing.T) {
	for _, tt := range []struct {
		user        bool
		option, env string
		uid         int
		want        string
		refused     string
	}{
		{option: "", env: "", want: ""},
		{option: "", env: "direct", want: "direct"},
		{option: "systemd", env: "direct", want: "systemd"},
		{user: true, uid: 1000, want: "systemd"},
		{user: true, uid: 1000, option: "auto", env: "direct", want: "systemd"},
		{user: true, uid: 1000, option: "systemd", want: "systemd"},
		{user: true, uid: 1000, env: "nonsense", want: "nonsense"}, // whoever chooses says what is wrong with it
		{user: true, uid: 1000, option: "direct", refused: "--user and the direct runner exclude each other"},
		{user: true, uid: 1000, env: "direct", refused: "--user and the direct runner exclude each other"},
		{user: true, uid: 0, refused: "--user is for a daemon that is not root"},
	} {
		e := newTestEnv(t)
		e.Getenv = func(string) string { return tt.env }
		got, err := daemonOptions{user: tt.user, runner: tt.option}.kind(e.env, tt.uid)
		var f *fault
		if tt.refused != "" {
			if !errors.As(err, &f) || f.Error() != tt.refused || f.hint == "" || f.code != exitUsage {
				t.Errorf("%+v: %v", tt, err)
			}
			continue
		}
		if err != nil || got != tt.want {
			t.Errorf("%+v: %q, %v", tt, got, err)
		}
	}
}

func TestKeysWithoutEffectAreNamed(t *testing.T) {
	cfg := &config.Config{StatePath: "/s", Processes: []config.Process{
		{Memory: &config.Memory{Limit: 1}}, {Memory: &config.Memory{Limit: 1, HardLimit: 2}},
	}}
	if got := notInEffect(cfg, "direct"); !slices.Equal(got, []string{"processes[1].memory.hardLimitBytes"}) {
		t.Errorf("%q", got)
	}
	if got := notInEffect(cfg, "systemd"); len(got) > 0 {
		t.Errorf("%q", got)
	}
}
