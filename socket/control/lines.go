package control

import "bytes"

// lines cuts what arrives in pieces into lines.
type lines struct {
	max  int    // bytes of a line, without its end
	rest []byte // begun, not yet ended
}

// add returns the lines that piece completes, without their ends, and whether
// the one after them is longer than max. Then no more can be added, and rest is
// what of piece was not looked at.
func (l *lines) add(piece []byte) (complete [][]byte, tooLong bool) {
	for {
		end := bytes.IndexByte(piece, '\n')
		length := len(l.rest) + end
		if end < 0 {
			length = len(l.rest) + len(piece)
		}
		if length > l.max {
			l.rest = piece
			return complete, true
		}
		if end < 0 {
			l.rest = append(l.rest, piece...)
			return complete, false
		}
		complete = append(complete, append(l.rest, piece[:end]...))
		l.rest = nil
		piece = piece[end+1:]
	}
}

// begun tells whether a line has begun and not ended.
func (l *lines) begun() bool { return len(l.rest) > 0 }
