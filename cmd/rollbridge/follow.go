package main

import (
	"bytes"
	"context"
	"encoding/json"
)

// follow prints what a command streams, until the daemon ends. That the reader
// of our output ends is a SIGPIPE.
func (r *remote) follow(ctx context.Context, command string, args any, print func(json.RawMessage) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var failed error
	endless := *r
	endless.timeout = 0
	_, _, err := call[json.RawMessage](ctx, &endless, command, args, func(raw json.RawMessage) {
		if failed == nil {
			failed = print(raw)
		}
		if failed != nil {
			cancel()
		}
	})
	if failed != nil {
		return failed
	}
	return err
}

// marshal writes a value as JSON, characters of HTML as they are.
func marshal(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}
