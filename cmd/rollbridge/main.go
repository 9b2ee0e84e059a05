// Command rollbridge runs and steers a rollbridge daemon: it turns its
// arguments into one call and one answer. Each command has a file of its own;
// daemon.go is where the daemon is built and joined.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/pflag"
)

// The exit codes.
const (
	exitDone     = 0
	exitFailed   = 1 // it failed, or problems were found
	exitUsage    = 2 // wrong usage; nothing was done
	exitNoDaemon = 3 // no daemon is there
)

func main() {
	os.Exit(run(system(), os.Args[1:]))
}

// env is everything a command may use of the world around it.
type env struct {
	Stdin  io.Reader
	Stdout *screen
	Stderr *screen
	Dir    string // working directory, absolute
	Getenv func(string) string
	Now    func() time.Time
}

// system is the env of the real process.
func system() *env {
	dir, err := os.Getwd()
	if err != nil {
		dir = "." // deleted meanwhile; what needs it will say so
	}
	return &env{
		Stdin:  os.Stdin,
		Stdout: newScreen(os.Stdout, os.Getenv),
		Stderr: newScreen(os.Stderr, os.Getenv),
		Dir:    dir,
		Getenv: os.Getenv,
		Now:    time.Now,
	}
}

// run executes one command line and returns the exit code.
func run(e *env, args []string) int {
	return e.report(dispatch(context.Background(), e, args))
}

// dispatch finds the command and runs it.
func dispatch(ctx context.Context, e *env, args []string) error {
	if len(args) == 0 {
		io.WriteString(e.Stderr, usage())
		return errSaid{exitUsage}
	}
	switch args[0] {
	case "-h", "--help":
		_, err := io.WriteString(e.Stdout, usage())
		return err
	case "--version":
		args = []string{"version"}
	}
	c, err := find(args[0])
	if err != nil {
		return err
	}
	return c.execute(ctx, e, args[1:])
}

// find returns the command called name.
func find(name string) (*command, error) {
	if len(name) > 0 && name[0] == '-' {
		return nil, usageFault("unknown option '"+name+"'", "options follow the command: rollbridge <command> [options]")
	}
	switch name {
	case "exec":
		return execCommand(), nil
	case "completion":
		return completionCommand(), nil
	}
	all := commands()
	i := slices.IndexFunc(all, func(c *command) bool { return c.name == name })
	if i < 0 {
		return nil, usageFault("unknown command '"+name+"'", didYouMean(name, names(all), "rollbridge help lists the commands"))
	}
	return all[i], nil
}

// names returns the names of the commands, in help order.
func names(all []*command) []string {
	var list []string
	for _, c := range all {
		list = append(list, c.name)
	}
	return list
}

// execute parses the options and runs the command.
func (c *command) execute(ctx context.Context, e *env, args []string) error {
	flags := c.flagSet()
	err := flags.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		_, err = io.WriteString(e.Stdout, c.help())
		return err
	}
	if missing := c.missing(args); missing != "" {
		return usageFault("required option '"+missing+"' not specified", c.hint())
	}
	if err != nil {
		return c.explain(err)
	}
	if extra := flags.Args(); len(extra) > c.arguments {
		return usageFault("unexpected argument '"+extra[c.arguments]+"'", c.hint())
	}
	return c.run(ctx, e, flags.Args())
}
