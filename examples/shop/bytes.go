package main

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
)

// big sends bytes with their digest, so that the receiver can verify them.
func (s *shop) big(w http.ResponseWriter, r *http.Request) {
	n := number(r, "bytes", 1<<20, maxBig)
	sum := sha256.New()
	writePattern(sum, n)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(n))
	w.Header().Set("Content-Digest", digest(sum))
	writePattern(w, n)
}

// upload reads a body of any size and tells how many bytes came and their
// digest, so that the sender can verify them.
func (s *shop) upload(w http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	n, err := io.Copy(sum, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%d bytes %s\n", n, digest(sum))
}

// digest is a SHA-256 sum as the header Content-Digest has it.
func digest(sum hash.Hash) string {
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum.Sum(nil)) + ":"
}

// writePattern writes n bytes in which a lost or repeated piece changes the
// digest.
func writePattern(w io.Writer, n int) error {
	piece := make([]byte, 64<<10)
	for at := 0; at < n; at += len(piece) {
		high := byte(at>>16 ^ at>>24)
		for i := range piece {
			piece[i] = byte(i^i>>8) ^ high
		}
		if _, err := w.Write(piece[:min(len(piece), n-at)]); err != nil {
			return err
		}
	}
	return nil
}
