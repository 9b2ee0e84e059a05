package main

import (
	"errors"
	"fmt"
	"strings"
)

// A fault is an error together with what to do about it and the exit code it
// ends the program with.
type fault struct {
	err     error
	details []string // lines that belong to it, such as output of a process
	hint    string   // "" when there is nothing to advise
	code    int
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// usageFault is a mistake in the command line.
func usageFault(text, hint string) error {
	return &fault{err: errors.New(text), hint: hint, code: exitUsage}
}

// failure is anything else that went wrong and can be mended.
func failure(err error, hint string) error {
	return &fault{err: err, hint: hint, code: exitFailed}
}

// complaint is a failure said in a whole sentence.
func complaint(text, hint string) error { return failure(errors.New(text), hint) }

// errSaid ends the program with a code; what there is to say has been said.
type errSaid struct{ code int }

func (e errSaid) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// report says on stderr what went wrong, if anything did, and returns the exit
// code.
func (e *env) report(err error) int {
	var said errSaid
	var f *fault
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &said):
		return said.code
	case !errors.As(err, &f):
		f = &fault{err: err, code: exitFailed}
	}
	fmt.Fprintf(e.Stderr, "%s %s\n", e.Stderr.red("error:"), strings.TrimRight(f.Error(), "\n"))
	for _, line := range f.details {
		fmt.Fprintf(e.Stderr, "  %s\n", line)
	}
	if f.hint != "" {
		fmt.Fprintf(e.Stderr, "%s %s\n", e.Stderr.dim("hint:"), f.hint)
	}
	return f.code
}
