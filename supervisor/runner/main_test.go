package runner

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"
)

const (
	// listenVariable makes the test binary a program that listens on an address.
	listenVariable = "TEST_LISTEN"
	// hogVariable makes it a program that holds that many MiB of memory.
	hogVariable = "TEST_HOG"
)

// TestMain fails when a test leaves a process behind, running or as a zombie.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "journalctl" {
		playJournalctl()
		return
	}
	if addr := os.Getenv(listenVariable); addr != "" {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("listening", l.Addr())
		time.Sleep(time.Hour)
	}
	if size, err := strconv.Atoi(os.Getenv(hogVariable)); err == nil {
		hog(size)
	}
	direct, err := NewDirect() // one for all: adopts what any test loses
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	direct.Close()
	if left := leftAfter(5 * time.Second); len(left) > 0 {
		fmt.Fprintln(os.Stderr, "processes left behind:", left)
		code = 1
	}
	os.Exit(code)
}

// hog holds memory until it is ended.
func hog(mebibytes int) {
	held := make([]byte, mebibytes<<20)
	for i := 0; i < len(held); i += 4096 {
		held[i] = 1
	}
	fmt.Println("holding")
	time.Sleep(time.Hour)
	runtime.KeepAlive(held)
}

// leftAfter gives the last exits a moment to be reaped.
func leftAfter(bound time.Duration) []stat {
	for end := time.Now().Add(bound); ; time.Sleep(10 * time.Millisecond) {
		children.reapOrphans()
		var left []stat
		for _, pid := range childrenOf(os.Getpid()) {
			if s, err := readStat(pid); err == nil {
				left = append(left, s)
			}
		}
		if len(left) == 0 || time.Now().After(end) {
			return left
		}
	}
}
