package control

import (
	"context"
	"encoding/json"
	"sync"
)

// A call is one line on its way to its answer.
type call struct {
	conn *conn
	id   json.RawMessage

	mu       sync.Mutex // keeps progress before the answer
	answered bool
}

type callKey struct{}

func callOf(ctx context.Context) *call {
	if ctx == nil {
		return nil
	}
	k, _ := ctx.Value(callKey{}).(*call)
	return k
}

// run handles the line and sends exactly one answer, whatever is in it.
func (k *call) run(line []byte) {
	answer, command, err := k.answer(line)
	if err != nil {
		answer = errorLine(k.id, err)
		k.conn.mux.opt.OnError(k.conn.peer, command, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.answered = true
	k.conn.send(message{line: answer, of: k})
}

// answer returns the line of a success. The command is named as far as it exists.
func (k *call) answer(line []byte) (answer []byte, command string, err error) {
	defer caught(&err)
	r, err := parse(line)
	k.id = r.id
	if err != nil {
		return nil, "", err
	}
	h := k.conn.mux.handlers[r.command]
	if h == nil {
		return nil, "", k.conn.mux.opt.Otherwise(k.context(), r.command)
	}
	command = r.command
	result, err := h(k.context(), r.fields, k.progress(r.progress))
	if err != nil {
		return nil, command, err
	}
	answer, err = successLine(k.id, result)
	if err != nil {
		err = &Error{Code: CodeInternal, Message: "internal error: answer of " + command + ": " + err.Error()}
	}
	return answer, command, err
}

func (k *call) context() context.Context {
	return context.WithValue(context.Background(), callKey{}, k)
}

// progress returns the function that sends a step, if steps are asked for.
func (k *call) progress(asked bool) func(any) {
	if !asked {
		return func(any) {}
	}
	return func(step any) {
		line, err := progressLine(k.id, step)
		if err != nil {
			line, _ = progressLine(k.id, map[string]string{"error": err.Error()})
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		if !k.answered {
			k.conn.send(message{line: line})
		}
	}
}
