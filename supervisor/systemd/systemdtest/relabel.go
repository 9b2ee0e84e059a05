package systemdtest

import (
	"bufio"
	"io"
	"regexp"
	"strings"
	"sync"
)

// testLine is a line of a test binary that names a test. The mark in front is
// there for test2json.
var testLine = regexp.MustCompile(`^(\x16?\s*(?:=== (?:RUN|PAUSE|CONT|NAME) +|--- (?:PASS|FAIL|SKIP|BENCH): ))(\S)`)

// relabelled runs tests and relabels what they say.
func relabelled(version string, out io.Writer, run func(version string, out io.Writer) error) error {
	lines, w := io.Pipe()
	var copying sync.WaitGroup
	copying.Go(func() { relabel(out, lines, version) })
	err := run(version, w)
	w.Close()
	copying.Wait()
	return err
}

// relabel copies the output of a test binary with the version in front of the
// names of tests, and without its verdict.
func relabel(out io.Writer, in io.Reader, version string) {
	for lines := bufio.NewReader(in); ; {
		line, err := lines.ReadString('\n')
		if bare := strings.Trim(line, "\x16\n"); bare != "PASS" && bare != "FAIL" {
			io.WriteString(out, testLine.ReplaceAllString(line, "${1}"+version+"/${2}"))
		}
		if err != nil {
			return
		}
	}
}
