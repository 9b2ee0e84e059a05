package proxy

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/gorilla/websocket"
)

// frames follows the frame boundaries of one direction of a WebSocket, from the
// bytes as they pass. It keeps a header at most, never payload.
type frames struct {
	header [10]byte // without the masking key, of which the bytes do not matter
	have   int      // bytes of header
	need   int      // length of the header with the key, once known
	left   uint64   // payload bytes to come
	ended  bool     // a whole Close frame has passed
	last   bool     // the frame under way is a Close frame
}

// atBoundary reports whether a frame may be put in here.
func (f *frames) atBoundary() bool { return f.have == 0 && f.left == 0 }

// pass takes note of bytes that were written.
func (f *frames) pass(b []byte) {
	for len(b) > 0 {
		b = b[f.advance(b):]
	}
}

// advance takes note of b up to the end of the frame under way, and returns how
// much that is; all of b, when it does not end there.
func (f *frames) advance(b []byte) (n int) {
	for n < len(b) {
		if f.left > 0 {
			skip := min(f.left, uint64(len(b)-n))
			f.left -= skip
			n += int(skip)
		} else {
			f.note(b[n])
			n++
		}
		if f.atBoundary() {
			f.ended = f.ended || f.last
			return n
		}
	}
	return n
}

// note takes one byte of a header.
func (f *frames) note(b byte) {
	if f.have < len(f.header) {
		f.header[f.have] = b
	}
	f.have++
	switch {
	case f.have == 2:
		f.need = headerLength(f.header[1])
	case f.have < 2:
		return
	}
	if f.have == f.need {
		f.last = f.header[0]&0x0f == websocket.CloseMessage
		f.left = payloadLength(f.header)
		f.have = 0
	}
}

// headerLength is told by the second byte of a header.
func headerLength(b byte) int {
	n := 2
	switch b & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if b&0x80 != 0 {
		n += 4
	}
	return n
}

func payloadLength(header [10]byte) uint64 {
	switch n := header[1] & 0x7f; n {
	case 126:
		return uint64(binary.BigEndian.Uint16(header[2:]))
	case 127:
		return binary.BigEndian.Uint64(header[2:])
	default:
		return uint64(n)
	}
}

// closeFrame is a Close frame that says "service restart"; one toward a server
// is masked.
func closeFrame(masked bool) []byte {
	payload := websocket.FormatCloseMessage(websocket.CloseServiceRestart, "service restart")
	frame := []byte{0x80 | websocket.CloseMessage, byte(len(payload))}
	if !masked {
		return append(frame, payload...)
	}
	frame[1] |= 0x80
	key := binary.BigEndian.AppendUint32(nil, rand.Uint32())
	frame = append(frame, key...)
	for i, b := range payload {
		frame = append(frame, b^key[i%4])
	}
	return frame
}
