package main

import (
	"fmt"
	"os"
)

// maxGrowth is by how many percent memory may grow between the windows.
const maxGrowth = 5

// enoughForMemory is the number of deploys from which growth means something:
// before, the daemon is still warming up.
const enoughForMemory = 100

// verdict prints what was found and returns the exit status.
func (s *soak) verdict(err error) int {
	fmt.Println()
	s.report.WriteTable(os.Stdout)
	fmt.Println()
	var problems []string
	if err != nil {
		problems = append(problems, err.Error())
	}
	if s.broken {
		return s.verdictBroken(err)
	}
	problems = append(problems, s.clientProblems()...)
	if err == nil {
		problems = append(problems, s.growthProblems()...)
	}
	for _, p := range problems {
		fmt.Println("problem:", p)
	}
	if len(problems) > 0 {
		fmt.Printf("soak: NOT PASSED: %d deploys, %d requests, %d failed\n", s.deploys, s.report.Requests, s.report.Failed)
		return 1
	}
	fmt.Printf("soak: passed: %d deploys, %d requests, 0 failed\n", s.deploys, s.report.Requests)
	return 0
}

// verdictBroken is for a program that must fail. Only failures that clients
// saw count: a soak that could not run has found nothing.
func (s *soak) verdictBroken(err error) int {
	if err != nil {
		fmt.Println("note:", err)
	}
	if s.report.Failed == 0 {
		fmt.Println("soak: NOT PASSED: the switch is broken, and no failure was found")
		return 1
	}
	fmt.Printf("soak: passed: the broken switch was found, %d failed\n", s.report.Failed)
	return 0
}

func (s *soak) clientProblems() (problems []string) {
	if s.report.Failed > 0 {
		problems = append(problems, fmt.Sprintf("clients saw %d failures", s.report.Failed))
	}
	if s.report.Requests < s.requests {
		problems = append(problems, fmt.Sprintf("only %d of %d requests", s.report.Requests, s.requests))
	}
	if s.report.Sockets.Drained == 0 {
		problems = append(problems, "no WebSocket lived up to the drain deadline of its release")
	}
	if s.lost > 0 {
		problems = append(problems, fmt.Sprintf("%d jobs were interrupted", s.lost))
	}
	return problems
}

// growthProblems compares what the daemon held in the two windows.
func (s *soak) growthProblems() (problems []string) {
	early, late := windows(s.deploys)
	fmt.Printf("daemon, between deploys %d–%d and %d–%d:\n", early.from, early.to, late.from, late.to)
	for name, figure := range map[string]func(sample) int64{"goroutines": goroutines, "fds": fds} {
		a, b := spanOf(s.samples, early, true, figure), spanOf(s.samples, late, true, figure)
		fmt.Printf("  %s at rest: %v and %v\n", name, a, b)
		if a != b || a.low != a.high {
			problems = append(problems, fmt.Sprintf("%s at rest are not equal: %v and %v", name, a, b))
		}
	}
	a, b := spanOf(s.samples, early, false, rss), spanOf(s.samples, late, false, rss)
	grown := growth(a, b)
	fmt.Printf("  rss under load: %.1f MiB and %.1f MiB (%+.1f %%)\n\n", mebibytes(a), mebibytes(b), grown)
	if s.deploys >= enoughForMemory && grown > maxGrowth {
		problems = append(problems, fmt.Sprintf("memory grew by %.1f %%, more than %d %%", grown, maxGrowth))
	}
	return problems
}
