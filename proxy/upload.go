package proxy

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// lateBody is how long a client may go on sending a body whose answer it has.
const lateBody = 5 * time.Second

// errHungUp is of an upstream that ended its connection without an answer.
var errHungUp = errors.New("closed the connection in the middle of the request")

// An upload is the body of a request. It may take for ever, as long as bytes
// flow. It may still be read when the request has ended, by the goroutine that
// writes it to the upstream.
type upload struct {
	control *http.ResponseController
	io.ReadCloser

	mu     sync.Mutex // guards what follows
	ended  bool       // the request has: the connection is not ours any more
	failed error      // why nothing more is read, if not for EOF: the client's fault, or errHungUp
	eof    bool
}

func newUpload(control *http.ResponseController, body io.ReadCloser) *upload {
	return &upload{control: control, ReadCloser: body, eof: body == http.NoBody}
}

// reader is the body to forward; an empty one stays recognisable.
func (u *upload) reader() io.ReadCloser {
	if u.ReadCloser == http.NoBody {
		return http.NoBody
	}
	return u
}

func (u *upload) Read(p []byte) (int, error) {
	if err := u.allow(bodyTimeout); err != nil {
		return 0, err
	}
	n, err := u.ReadCloser.Read(p)
	if err != nil {
		err = u.stop(err)
	}
	return n, err
}

// allow gives the client d to send more, unless nobody wants it any more.
func (u *upload) allow(d time.Duration) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.ended:
		return http.ErrBodyReadAfterClose
	case u.failed != nil:
		return u.failed
	}
	u.control.SetReadDeadline(time.Now().Add(d))
	return nil
}

// stop notes what reading has ended with, and returns why.
func (u *upload) stop(err error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err == io.EOF {
		u.eof = true
	} else if u.failed == nil {
		u.failed = err
	} else {
		err = u.failed
	}
	if !u.ended {
		u.control.SetReadDeadline(time.Time{})
	}
	return err
}

// interrupt ends a read that waits for the client: the upstream is gone, and
// has not answered.
func (u *upload) interrupt() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.ended && !u.eof && u.failed == nil {
		u.failed = errHungUp
		u.control.SetReadDeadline(time.Now())
	}
}

// end is called when the answer is complete.
func (u *upload) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ended = true
	if !u.eof {
		u.control.SetReadDeadline(time.Now().Add(lateBody))
	}
}

// complete reports whether all of the body has been read.
func (u *upload) complete() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.eof
}

// broken is why the body ended too early, or nil.
func (u *upload) broken() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.failed
}
