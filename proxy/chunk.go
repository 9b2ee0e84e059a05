package proxy

const (
	maxChunkLine = 256     // size and extensions
	maxTrailers  = 8 << 10 // all trailers of a request
)

// A chunkLine is what a framer remembers inside the line of a chunk's size, the
// line end of a chunk and the trailers.
type chunkLine struct {
	length    int // bytes of the line, or of all trailers
	digits    int
	extension bool // the size has ended
	cr        bool // the last byte was a carriage return
	text      bool // the trailer line is not empty
}

// chunkLine passes a chunk's size: hexadecimal digits, maybe extensions, CRLF.
func (f *framer) chunkLine(b []byte) (int, error) {
	c := &f.chunk
	for i, ch := range b {
		if c.length++; c.length > maxChunkLine {
			return i, errMalformed
		}
		digit := hexDigit(ch)
		switch {
		case c.cr && ch == '\n':
			f.endChunkLine()
			return i + 1, nil
		case c.cr:
			return i, errMalformed
		case ch == '\r' && c.digits > 0:
			c.cr = true
		case !c.extension && digit >= 0 && c.digits < 15:
			c.digits++
			f.left = f.left<<4 | int64(digit)
		case !c.extension && c.digits > 0 && (ch == ';' || ch == ' ' || ch == '\t'):
			c.extension = true
		case c.extension && !hasControl([]byte{ch}):
		default:
			return i, errMalformed
		}
	}
	return len(b), nil
}

func (f *framer) endChunkLine() {
	f.chunk = chunkLine{}
	f.at = inChunk
	if f.left == 0 {
		f.at = inTrailers
	}
}

// chunkEnd passes the CRLF behind a chunk's data.
func (f *framer) chunkEnd(b []byte) (int, error) {
	want := byte('\r')
	if f.chunk.cr {
		want = '\n'
	}
	if b[0] != want {
		return 0, errMalformed
	}
	f.chunk.cr = !f.chunk.cr
	if !f.chunk.cr {
		f.at = inChunkLine
	}
	return 1, nil
}

// trailers passes the lines behind the last chunk, up to the empty one.
func (f *framer) trailers(b []byte) (int, error) {
	c := &f.chunk
	for i, ch := range b {
		if c.length++; c.length > maxTrailers {
			return i, errMalformed
		}
		switch {
		case c.cr && ch == '\n' && !c.text:
			f.chunk = chunkLine{}
			f.at = inHead
			return i + 1, nil
		case c.cr && ch == '\n':
			c.cr, c.text = false, false
		case c.cr || ch != '\r' && hasControl([]byte{ch}):
			return i, errMalformed
		case ch == '\r':
			c.cr = true
		default:
			c.text = true
		}
	}
	return len(b), nil
}

func hexDigit(b byte) int {
	switch {
	case '0' <= b && b <= '9':
		return int(b - '0')
	case 'a' <= b|0x20 && b|0x20 <= 'f':
		return int(b|0x20-'a') + 10
	}
	return -1
}
