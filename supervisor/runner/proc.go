package runner

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
)

// stat is what /proc/PID/stat says about a process.
type stat struct {
	pid     int
	command string // name of the program, for people
	zombie  bool   // ended, and not yet reaped
	parent  int
	group   int
	session int
	started uint64 // clock ticks since boot
}

// readStat reads a process; the error is not to be told apart: it is gone.
func readStat(pid int) (stat, error) {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	return parseStat(line)
}

var errStat = errors.New("unexpected form of /proc/PID/stat")

// parseStat reads the line `pid (command) state ppid pgrp session …`. The
// command may hold anything, parentheses and blanks too.
func parseStat(line []byte) (stat, error) {
	open, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return stat{}, errStat
	}
	fields := strings.Fields(string(line[end+1:])) // fields[0] is field 3
	if len(fields) < 20 {
		return stat{}, errStat
	}
	var bad error
	number := func(text string) int {
		n, err := strconv.Atoi(text)
		bad = errors.Join(bad, err)
		return n
	}
	s := stat{
		pid:     number(strings.TrimSpace(string(line[:open]))),
		command: string(line[open+1 : end]),
		parent:  number(fields[1]),
		group:   number(fields[2]),
		session: number(fields[3]),
	}
	// The first thread of a living process may have ended.
	s.zombie = fields[0] == "X" || fields[0] == "Z" && number(fields[17]) <= 1
	s.started = uint64(number(fields[19]))
	return s, bad
}

// bootID changes at every boot of the machine.
var bootID = sync.OnceValue(func() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
})

// childrenOf lists the children of all threads of a process, zombies included.
func childrenOf(pid int) []int {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil
	}
	var pids []int
	for _, thread := range threads {
		list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, thread.Name()))
		if errors.Is(err, os.ErrNotExist) && !hasChildrenFiles() {
			return childrenByTable(pid)
		}
		for field := range strings.FieldsSeq(string(list)) {
			if child, err := strconv.Atoi(field); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

// hasChildrenFiles is false on kernels built without CONFIG_PROC_CHILDREN.
var hasChildrenFiles = sync.OnceValue(func() bool {
	_, err := os.Stat("/proc/thread-self/children")
	return err == nil
})

// childrenByTable finds the children by looking at every process.
func childrenByTable(parent int) []int {
	var pids []int
	for _, pid := range allPids() {
		if s, err := readStat(pid); err == nil && s.parent == parent {
			pids = append(pids, pid)
		}
	}
	return pids
}

func allPids() []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
