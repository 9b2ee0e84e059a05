package control

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"slices"
	"testing"
	"time"
)

// FuzzLine sends any bytes. Whatever they are, each complete line has exactly one
// answer, which is an object with a status, and the daemon lives.
func FuzzLine(f *testing.F) {
	for _, seed := range []string{
		"", "\n", "\r\n", "this is not json\n", "123\n", "null\n", "[]\n", `"x"` + "\n", `{"command":`,
		`{"command":"echo","id":1,"text":"a","n":1,"i":2,"flag":true,"list":["b"],"ptr":null}` + "\n",
		`{"command":"echo","text":5}` + "\n" + `{"command":"status","progress":true}` + "\n",
		`{"command":"bogus","id":"é\ud800"}` + "\n", `{"command":{"a":[]},"id":{}}` + "\n",
		`{"command":"echo","id":1e999,"i":1e3}` + "\r\n{", "\x00\xff\n\xc3\n", `{"a":1,"a":2}` + "\n\n\n",
	} {
		f.Add([]byte(seed))
	}
	m := NewMux(Options{MaxLine: 1 << 16})
	(&daemon{Mux: m}).addEcho()
	l, err := net.Listen("unix", "") // a free abstract name
	if err != nil {
		f.Fatal(err)
	}
	go m.Serve(l)
	f.Cleanup(func() { m.Close(context.Background()); m.Wait() })
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) > 1<<16 {
			return
		}
		nc, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(patience))
		go func() {
			nc.Write(input)
			nc.(*net.UnixConn).CloseWrite()
		}()
		answers, err := io.ReadAll(nc)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(answers) {
			var a struct{ Status, Error string }
			if err := json.Unmarshal(line, &a); err != nil || a.Status != "success" && (a.Status != "error" || a.Error == "") {
				t.Errorf("%q: answer %q, %v", input, line, err)
			}
		}
		if got, want := bytes.Count(answers, []byte("\n")), bytes.Count(input, []byte("\n")); got != want {
			t.Errorf("%q: %d answers to %d lines: %q", input, got, want, answers)
		}
	})
}

func TestLinesAreCutAlikeHoweverTheyArrive(t *testing.T) {
	text := []byte("one\n\ntwo two\nthree\nrest")
	for size := 1; size <= len(text); size++ {
		l := lines{max: 7}
		var got []string
		for piece := range slices.Chunk(text, size) {
			complete, tooLong := l.add(piece)
			if tooLong {
				t.Fatalf("size %d: too long", size)
			}
			for _, line := range complete {
				got = append(got, string(line))
			}
		}
		if want := []string{"one", "", "two two", "three"}; !slices.Equal(got, want) || string(l.rest) != "rest" {
			t.Errorf("size %d: %q, rest %q", size, got, l.rest)
		}
	}
}

func TestTooLongLineIsNoticedBeforeItEnds(t *testing.T) {
	l := lines{max: 3}
	if complete, tooLong := l.add([]byte("a\nabcd")); len(complete) != 1 || !tooLong {
		t.Errorf("%q, %v", complete, tooLong)
	}
	l = lines{max: 3}
	for _, piece := range []string{"ab", "c"} {
		if _, tooLong := l.add([]byte(piece)); tooLong {
			t.Error("three bytes are too long")
		}
	}
	if _, tooLong := l.add([]byte("d")); !tooLong {
		t.Error("four bytes are not too long")
	}
}
