package proxy

import (
	"bytes"
	"errors"
)

var (
	errMalformed = errors.New("request is malformed")
	errLongHead  = errors.New("request head is too long")
)

// A framer follows the requests on a client connection and passes only what
// leaves no doubt about where each of them ends. net/http alone accepts a
// request with both Content-Length and Transfer-Encoding, and bare line feeds.
type framer struct {
	at      place
	scanned int   // bytes of the unfinished head that have been looked at
	left    int64 // bytes of body or chunk to come
	chunk   chunkLine
}

// place is where in a request a framer is.
type place int

const (
	inHead place = iota
	inBody
	inChunkLine
	inChunk
	inChunkEnd
	inTrailers
	inTunnel // something else than HTTP, or the last request
)

// atStart reports whether no request is unfinished; of a head that is not
// complete the framer has passed nothing.
func (f *framer) atStart() bool { return f.at == inHead }

// pass returns how many bytes of b may go on. The rest is the beginning of a
// head that is not complete: it is given again, with what follows it. After an
// error no more is passed.
func (f *framer) pass(b []byte) (n int, err error) {
	for n < len(b) {
		step, err := f.step(b[n:])
		n += step
		if err != nil || step == 0 {
			return n, err
		}
	}
	return n, nil
}

func (f *framer) step(b []byte) (int, error) {
	switch f.at {
	case inHead:
		return f.head(b)
	case inBody:
		return f.skip(b, inHead), nil
	case inChunkLine:
		return f.chunkLine(b)
	case inChunk:
		return f.skip(b, inChunkEnd), nil
	case inChunkEnd:
		return f.chunkEnd(b)
	case inTrailers:
		return f.trailers(b)
	}
	return len(b), nil
}

func (f *framer) head(b []byte) (int, error) {
	end, err := f.headEnd(b)
	if err != nil || end == 0 {
		return 0, err
	}
	body, err := checkHead(b[:end])
	if err != nil {
		return 0, errors.Join(errMalformed, err)
	}
	f.enter(body)
	return end, nil
}

// headEnd is the length of the head that b begins with, 0 while it has no end.
func (f *framer) headEnd(b []byte) (int, error) {
	for {
		i := bytes.IndexByte(b[f.scanned:], '\n')
		if i < 0 {
			f.scanned = len(b)
			if len(b) > maxHead {
				return 0, errLongHead
			}
			return 0, nil
		}
		i += f.scanned
		f.scanned = i + 1
		switch {
		case i >= maxHead:
			return 0, errLongHead
		case i < 2 || b[i-1] != '\r':
			return 0, errMalformed
		case b[i-2] == '\n':
			f.scanned = 0
			return i + 1, nil
		}
	}
}

func (f *framer) enter(body framing) {
	switch {
	case body.upgrade:
		f.at = inTunnel
	case body.chunked:
		f.at = inChunkLine
	case body.length > 0:
		f.at, f.left = inBody, body.length
	}
}

// skip passes what is left of a body or a chunk; then comes next.
func (f *framer) skip(b []byte, next place) int {
	n := min(int64(len(b)), f.left)
	f.left -= n
	if f.left == 0 {
		f.at = next
	}
	return int(n)
}
