package main

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/spf13/pflag"
)

// A command is one word of the command line. A new one is made for every run,
// so that its options start from their defaults.
type command struct {
	name      string
	synopsis  string // what follows the name in the usage line
	short     string // for the list of commands
	long      string // one or two paragraphs
	example   string // works when pasted
	required  []string
	arguments int // how many it takes besides options
	flags     func(*pflag.FlagSet)
	run       func(ctx context.Context, e *env, args []string) error
}

// commands lists all commands in help order.
func commands() []*command {
	return []*command{
		daemonCommand(),
		deployCommand(),
		rollbackCommand(),
		ensureDaemonCommand(),
		statusCommand(),
		listCommand(),
		stopCommand(),
		restartCommand(),
		cancelCommand(),
		shutdownCommand(),
		validateCommand(),
		unitsCommand(),
		logsCommand(),
		eventsCommand(),
		versionCommand(),
		helpCommand(),
	}
}

// flagSet binds the options of the command, at their defaults.
func (c *command) flagSet() *pflag.FlagSet {
	f := pflag.NewFlagSet(c.name, pflag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {} // -h is answered on stdout, by execute
	f.SortFlags = false
	if c.flags != nil {
		c.flags(f)
	}
	return f
}

// missing names the first required option that args leave out, even when
// something else is wrong with them.
func (c *command) missing(args []string) string {
	f := c.flagSet()
	f.ParseErrorsAllowlist.UnknownFlags = true
	if err := f.Parse(args); err != nil {
		return ""
	}
	for _, name := range c.required {
		if flag := f.Lookup(name); !flag.Changed || flag.Value.String() == "" {
			return optionName(flag)
		}
	}
	return ""
}

// explain turns a complaint of the option parser into ours.
func (c *command) explain(err error) error {
	var own *fault
	var unknown *pflag.NotExistError
	var bare *pflag.ValueRequiredError
	var bad *pflag.InvalidValueError
	switch {
	case errors.As(err, &own): // of a count, a choice
		return own
	case errors.As(err, &unknown):
		return c.unknownOption(unknown)
	case errors.As(err, &bare):
		return usageFault("option '"+optionName(bare.GetFlag())+"' argument missing", c.hint())
	case errors.As(err, &bad):
		flag := bad.GetFlag()
		return usageFault("option '"+optionName(flag)+"': '"+bad.GetValue()+"' is not "+wanted(flag), c.hint())
	}
	return usageFault(err.Error(), c.hint())
}

func (c *command) unknownOption(err *pflag.NotExistError) error {
	name := err.GetSpecifiedName()
	if err.GetSpecifiedShortnames() != "" {
		return usageFault("unknown option '-"+name+"'", c.hint())
	}
	var known []string
	c.flagSet().VisitAll(func(f *pflag.Flag) { known = append(known, "--"+f.Name) })
	return usageFault("unknown option '--"+name+"'", didYouMean("--"+name, known, c.hint()))
}

// hint says where the options are explained.
func (c *command) hint() string { return "rollbridge " + c.name + " --help lists the options" }

// optionName is how an option is written in help and errors:
// "-c, --config <path>".
func optionName(f *pflag.Flag) string {
	name := "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	if value, _ := optionUsage(f); value != "" {
		name += " " + value
	}
	return name
}

// optionUsage splits a usage text such as "<path> of the file" into what stands
// for the value and the explanation.
func optionUsage(f *pflag.Flag) (value, text string) {
	if !strings.HasPrefix(f.Usage, "<") {
		return "", f.Usage
	}
	value, text, _ = strings.Cut(f.Usage, "> ")
	return value + ">", text
}

// wanted says in words what kind of value an option takes.
func wanted(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "duration":
		return "a duration such as 30s or 2m"
	case "int":
		return "a whole number"
	case "bool":
		return "true or false"
	}
	return "a " + f.Value.Type()
}
