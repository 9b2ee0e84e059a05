package control

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
)

// maxID and maxEcho bound what of a request is repeated in its answer.
const (
	maxID   = 256
	maxEcho = 100
)

// fields are the members of an object by their exact names.
type fields map[string]json.RawMessage

// A request is one line, understood.
type request struct {
	command  string
	id       json.RawMessage // as sent; nil when there was none
	progress bool
	fields   fields
}

// parse reads a line. As much of the request as could be read comes with the
// error, so that the answer can carry its id.
func parse(line []byte) (r request, err error) {
	if r.fields, err = object(line); err != nil {
		return r, err
	}
	if r.id, err = r.fields.id(); err != nil {
		return r, err
	}
	if r.command, err = r.fields.command(); err != nil {
		return r, err
	}
	if asked, given := r.fields["progress"]; given {
		err = decode(asked, "progress", reflect.ValueOf(&r.progress).Elem())
	}
	return r, err
}

// object reads the line into fields. An array has none.
func object(line []byte) (fields, error) {
	var value json.RawMessage
	if err := json.Unmarshal(line, &value); err != nil {
		return nil, notJSON(err)
	}
	switch kindOf(value) {
	case '[':
		return nil, nil
	case '{':
		var f fields
		err := json.Unmarshal(value, &f)
		return f, err
	}
	return nil, invalid("Control command must be an object")
}

// notJSON says so in the words that clients look for.
func notJSON(err error) *Error {
	e := invalid("Invalid JSON: %v", err)
	if err.Error() == "unexpected end of JSON input" {
		e.Message = "Unexpected end of JSON input"
	}
	e.Hint = `send one JSON object per line, such as {"command":"status"}`
	return e
}

// kindOf returns the first byte of a JSON value, which tells its kind.
func kindOf(value json.RawMessage) byte {
	value = bytes.TrimLeft(value, " \t\r\n")
	if len(value) == 0 {
		return 0
	}
	return value[0]
}

func (f fields) id() (json.RawMessage, error) {
	id, given := f["id"]
	switch kind := kindOf(id); {
	case !given, kind == 'n':
		return nil, nil
	case kind == '{', kind == '[', kind == 't', kind == 'f':
		return nil, invalid("id must be a string or a number")
	case len(id) > maxID:
		return nil, invalid("id must have at most %d bytes", maxID)
	}
	return id, nil
}

func (f fields) command() (string, error) {
	value, given := f["command"]
	if !given {
		return "", unknown("undefined")
	}
	var command string
	if kindOf(value) != '"' {
		return "", unknown(asText(value))
	}
	err := json.Unmarshal(value, &command)
	return command, err
}

func asText(value json.RawMessage) string {
	if kindOf(value) == '{' {
		return "[object Object]"
	}
	return string(value)
}

func unknown(command string) *Error {
	if len(command) > maxEcho {
		command = strings.ToValidUTF8(command[:maxEcho], "") + "…"
	}
	return &Error{Code: CodeUnknown, Message: "Unknown command: " + command}
}

// into decodes the fields that the struct has, each strictly by its type.
// Others are ignored.
func (f fields) into(target reflect.Value) error {
	for i := range target.NumField() {
		field := target.Type().Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		value, given := f[name]
		if !given || name == "" || name == "-" {
			continue
		}
		if err := decode(value, name, target.Field(i)); err != nil {
			return err
		}
	}
	return nil
}

// decode reads one value. null is a value of its own type, not "none given".
func decode(value json.RawMessage, name string, target reflect.Value) error {
	err := json.Unmarshal(value, target.Addr().Interface())
	if err == nil && (kindOf(value) != 'n' || takesNull(target)) {
		return nil
	}
	e := invalid("Expected %s value", expected(target.Type(), value))
	e.Hint = "it is the field " + name
	return e
}

func takesNull(target reflect.Value) bool {
	_, own := target.Addr().Interface().(json.Unmarshaler)
	return own || target.Kind() == reflect.Pointer || target.Kind() == reflect.Interface
}

func expected(t reflect.Type, value json.RawMessage) string {
	switch t.Kind() {
	case reflect.Pointer:
		return expected(t.Elem(), value)
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Slice, reflect.Array:
		return "array"
	case reflect.Map, reflect.Struct:
		return "object"
	case reflect.Float32, reflect.Float64:
		return "number"
	}
	if strings.IndexByte("-0123456789", kindOf(value)) >= 0 {
		return "integer"
	}
	return "number"
}
