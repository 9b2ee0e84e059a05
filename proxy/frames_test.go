package proxy

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
)

// frame is a WebSocket frame as bytes.
func frame(first byte, masked bool, length int) []byte {
	b := []byte{first}
	mask := byte(0)
	if masked {
		mask = 0x80
	}
	switch {
	case length < 126:
		b = append(b, mask|byte(length))
	case length < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, mask|126), uint16(length))
	default:
		b = binary.BigEndian.AppendUint64(append(b, mask|127), uint64(length))
	}
	if masked {
		b = append(b, 1, 2, 3, 4)
	}
	return append(b, bytes.Repeat([]byte{0xff}, length)...)
}

func TestFrameEndsAreFound(t *testing.T) {
	var stream []byte
	var ends []int
	for _, masked := range []bool{false, true} {
		for _, length := range []int{0, 1, 125, 126, 127, 65535, 65536, 70000} {
			stream = append(stream, frame(0x82, masked, length)...)
			ends = append(ends, len(stream))
		}
	}
	var f frames
	var found []int
	for at := 0; at < len(stream); {
		at += f.advance(stream[at:])
		found = append(found, at)
		if !f.atBoundary() {
			t.Fatalf("no boundary at %d", at)
		}
	}
	if !slices.Equal(found, ends) {
		t.Errorf("found %v, want %v", found, ends)
	}
}

func TestCloseFrameIsNoticed(t *testing.T) {
	for _, masked := range []bool{false, true} {
		var f frames
		sent := closeFrame(masked)
		f.pass(sent[:3])
		if f.ended {
			t.Error("ended before its last byte")
		}
		f.pass(sent[3:])
		if !f.ended || !f.atBoundary() {
			t.Errorf("%+v after a Close frame", f)
		}
	}
}

// FuzzFrames checks that the boundaries do not depend on how the stream is cut.
func FuzzFrames(f *testing.F) {
	f.Add(frame(0x81, true, 200), uint8(1))
	f.Add(slices.Concat(frame(0x01, false, 5), frame(0x89, false, 0), frame(0x80, false, 300), closeFrame(false)), uint8(7))
	f.Add([]byte{0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1}, uint8(2))
	f.Fuzz(func(t *testing.T, stream []byte, step uint8) {
		whole, pieces := boundaries(stream, len(stream)+1), boundaries(stream, int(step)+1)
		if !slices.Equal(whole, pieces) {
			t.Errorf("whole %v, in pieces %v", whole, pieces)
		}
	})
}

func boundaries(stream []byte, size int) (at []int) {
	var f frames
	for pos := 0; pos < len(stream); {
		n := f.advance(stream[pos:min(len(stream), pos+size)])
		pos += n
		if f.atBoundary() {
			at = append(at, pos)
		}
	}
	return at
}
