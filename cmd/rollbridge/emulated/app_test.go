package emulated

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// The application that is deployed: this test binary, started as `emulated.test
// app ROLE`. Signals tell it what to do with memory:
const (
	holdSignal  = syscall.SIGHUP  // take 64 MiB, once
	hogSignal   = syscall.SIGUSR1 // take all there is
	childSignal = syscall.SIGUSR2 // have a child that does
)

const mebibyte = 1 << 20

// heldBytes is what a process takes at holdSignal, far above what it has anyway.
const heldBytes = 64 * mebibyte

// askedStatus is what the application exits with after SIGTERM; killed processes
// have none.
const askedStatus = 7

var held []byte // keeps it from being collected

func appMain(role string) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, holdSignal, hogSignal, childSignal, syscall.SIGTERM)
	switch role {
	case "hog":
		hog()
	case "web":
		serve()
	case "secret":
		if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
			panic(err)
		}
		serve()
	case "cached":
		fillPageCache()
	}
	for s := range signals {
		switch s {
		case holdSignal:
			held = touched(heldBytes)
		case hogSignal:
			hog()
		case childSignal:
			if err := exec.Command(self, "app", "hog").Start(); err != nil {
				panic(err)
			}
		case syscall.SIGTERM:
			os.Exit(askedStatus)
		}
	}
}

// touched is memory that the kernel had to give.
func touched(size int) []byte {
	b := make([]byte, size)
	for i := 0; i < size; i += 4096 {
		b[i] = 1
	}
	return b
}

// hogged is what a hog has, out of reach of the garbage collector.
var hogged [][]byte

// hog takes more and more memory until it is killed.
func hog() {
	for {
		hogged = append(hogged, touched(2*mebibyte))
	}
}

func serve() {
	l, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("ROLLBRIDGE_PORT"))
	if err != nil {
		panic(err)
	}
	release := os.Getenv("ROLLBRIDGE_RELEASE_ID")
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, release) }))
}

// fillPageCache writes a large file.
func fillPageCache() {
	f, err := os.Create(filepath.Join(os.Getenv("ROLLBRIDGE_RELEASE_PATH"), "../log"))
	if err != nil {
		panic(err)
	}
	for range heldBytes / mebibyte {
		if _, err := f.Write(make([]byte, mebibyte)); err != nil {
			panic(err)
		}
	}
	f.Sync()
}
