package control

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
)

// An answer is one line. The id follows the status, in every kind of answer.

const (
	statusSuccess  = "success"
	statusError    = "error"
	statusProgress = "progress"
)

// successLine is the result's object, with the status put before its fields.
func successLine(id json.RawMessage, result any) ([]byte, error) {
	head, err := marshal(struct {
		Status string          `json:"status"`
		ID     json.RawMessage `json:"id,omitempty"`
	}{statusSuccess, id})
	if err != nil {
		return nil, err
	}
	body, err := marshal(result)
	if err != nil {
		return nil, err
	}
	return joined(head, body)
}

func progressLine(id json.RawMessage, step any) ([]byte, error) {
	line, err := marshal(struct {
		Status   string          `json:"status"`
		ID       json.RawMessage `json:"id,omitempty"`
		Progress any             `json:"progress"`
	}{statusProgress, id, step})
	return append(line, '\n'), err
}

func errorLine(id json.RawMessage, err error) []byte {
	e := &Error{Code: CodeFailed, Message: err.Error()}
	if own := (*Error)(nil); errors.As(err, &own) {
		e = &Error{Code: cmp.Or(own.Code, CodeFailed), Message: err.Error(), Hint: own.Hint, Output: own.Output}
	}
	line, _ := marshal(struct { // only strings and a checked id: cannot fail
		Error  string          `json:"error"`
		Status string          `json:"status"`
		ID     json.RawMessage `json:"id,omitempty"`
		Code   string          `json:"code,omitempty"`
		Hint   string          `json:"hint,omitempty"`
		Output []string        `json:"output,omitempty"`
	}{e.Message, statusError, id, e.Code, e.Hint, e.Output})
	return append(line, '\n')
}

// joined makes one object and line of two objects, of which the first is not
// empty.
func joined(first, second []byte) ([]byte, error) {
	if len(second) < 2 || second[0] != '{' {
		return nil, fmt.Errorf("answer is not an object: %.40s", second)
	}
	line := first[:len(first)-1]
	if len(second) > 2 {
		line = append(line, ',')
	}
	return append(append(line, second[1:]...), '\n'), nil
}

// marshal writes compact JSON without escaping what only matters in HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
