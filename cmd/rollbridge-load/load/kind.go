package load

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
)

// A Kind is what a client does in one request.
type Kind string

// The kinds of a mix.
const (
	Get        Kind = "get"       // on a kept connection
	GetClose   Kind = "get-close" // on its own connection
	Post       Kind = "post"      // with a length; the answer must be the same bytes
	Chunked    Kind = "chunked"   // without one
	Slow       Kind = "slow"      // the answer takes a while
	Stream     Kind = "stream"    // the answer comes in pieces
	Big        Kind = "big"       // the answer is large and verified
	Socket     Kind = "websocket" // opened, used, closed
	HeldSocket Kind = "websocket-held"
)

// mix says how many of a hundred requests are of a kind.
var mix = []struct {
	kind  Kind
	share int
}{
	{Get, 46}, {GetClose, 12}, {Post, 14}, {Chunked, 12}, {Slow, 4}, {Stream, 4}, {Big, 4}, {Socket, 4},
}

// quick reports whether an answer of this kind is due at once, so that its
// latency says something about the proxy.
func (k Kind) quick() bool {
	return k == Get || k == GetClose || k == Post || k == Chunked
}

func pickKind(r *rand.Rand) Kind {
	n := r.IntN(100)
	for _, m := range mix {
		if n -= m.share; n < 0 {
			return m.kind
		}
	}
	return Get
}

// A request is what goes out, and the check of what comes back.
type request struct {
	method string
	bytes  []byte
	check  func(answer) *Failure
}

// An answer is a response that arrived whole.
type answer struct {
	release string
	header  http.Header
	body    []byte
}

func newRequest(k Kind, host string, r *rand.Rand) request {
	switch k {
	case GetClose:
		return request{"GET", get("/release", host, "Connection: close\r\n"), checkRelease}
	case Post:
		body := randomBody(r)
		return request{"POST", sized(body, host), checkEcho(body)}
	case Chunked:
		body := randomBody(r)
		return request{"POST", chunked(body, host, r), checkEcho(body)}
	case Slow:
		return request{"GET", get("/slow?ms=150", host, ""), checkRelease}
	case Stream:
		return request{"GET", get("/stream?parts=5&ms=20", host, ""), checkStream}
	case Big:
		return request{"GET", get("/big?bytes=524288", host, ""), checkBig}
	}
	return request{"GET", get("/release", host, ""), checkRelease}
}

func get(path, host, fields string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", path, host, fields)
}

func sized(body []byte, host string) []byte {
	head := fmt.Appendf(nil, "POST /echo HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n", host, len(body))
	return append(head, body...)
}

func chunked(body []byte, host string, r *rand.Rand) []byte {
	out := fmt.Appendf(nil, "POST /echo HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n", host)
	for len(body) > 0 {
		n := min(len(body), 1+r.IntN(8<<10))
		out = fmt.Appendf(out, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	return append(out, "0\r\n\r\n"...)
}

// randomBody is mostly short, sometimes up to 32 KiB, sometimes empty.
func randomBody(r *rand.Rand) []byte {
	n := r.IntN(512)
	if r.IntN(8) == 0 {
		n = r.IntN(32 << 10)
	}
	body := make([]byte, n)
	for i := range body {
		body[i] = byte(r.Uint32())
	}
	return body
}

func checkRelease(a answer) *Failure {
	if string(a.body) != a.release+"\n" {
		return failed(WrongBody, "%.60q is not the release %q", a.body, a.release)
	}
	return nil
}

func checkEcho(sent []byte) func(answer) *Failure {
	return func(a answer) *Failure {
		if !bytes.Equal(a.body, sent) {
			return failed(WrongBody, "sent %d bytes, got %d others back", len(sent), len(a.body))
		}
		return nil
	}
}

func checkStream(a answer) *Failure {
	parts := bytes.Count(a.body, []byte(" of release "+a.release+"\n\n"))
	if parts != 5 || !bytes.HasSuffix(a.body, []byte("data: end\n\n")) {
		return failed(WrongBody, "a stream of %d parts, expected 5 and an end", parts)
	}
	return nil
}

func checkBig(a answer) *Failure {
	sum := sha256.Sum256(a.body)
	want := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
	if len(a.body) != 524288 || a.header.Get("Content-Digest") != want {
		return failed(WrongBody, "%d bytes that do not have the announced digest", len(a.body))
	}
	return nil
}
