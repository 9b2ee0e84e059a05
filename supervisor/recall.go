package supervisor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"
)

// memory is what could be read of the state file.
type memory struct {
	record
	missing bool  // there is none
	problem error // why some of it could not be read, nil when all could
	path    string
}

// recall reads what an earlier daemon has remembered. Of a file that is broken
// the parts that can be read count, and a copy of it is kept aside.
func (s *Supervisor) recall() memory {
	m := readState(s.opt.State.File)
	if m.missing {
		m = s.recallElsewhere(m)
	}
	if m.problem == nil {
		return m
	}
	kept, err := keepAside(m.path, "broken", time.Now())
	data := map[string]any{"error": m.problem.Error(), "kept": kept, "path": m.path}
	if err != nil {
		data["keptError"] = err.Error()
	}
	s.Note("state file broken", data)
	return m
}

// recallElsewhere looks where the state was kept before `statePath` was changed.
func (s *Supervisor) recallElsewhere(m memory) memory {
	for _, path := range s.opt.State.Before {
		if path == s.opt.State.File {
			continue
		}
		if before := readState(path); !before.missing {
			s.Note("state file moved", map[string]any{"from": path, "to": s.opt.State.File})
			return before
		}
	}
	return m
}

// maxState bounds a state file, in bytes.
const maxState = 64 << 20

// readState reads a state file.
func readState(path string) memory {
	m := memory{path: path}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		m.missing = true
		return m
	}
	if err != nil {
		m.problem = err
		return m
	}
	defer f.Close()
	m.record, m.problem = decodeRecord(io.LimitReader(f, maxState))
	for i := range m.Releases {
		m.Releases[i].Generation = max(1, m.Releases[i].Generation)
	}
	if m.problem == nil && m.Version > recordVersion {
		m.problem = fmt.Errorf("it has form %d, and this version knows %d: it was written by a newer version", m.Version, recordVersion)
	}
	return m
}

// decodeRecord reads as much as can be read: it stops where the text breaks off,
// and goes on after a value that does not fit.
func decodeRecord(r io.Reader) (record, error) {
	rec := record{extra: extra{}}
	d := recordDecoder{json.NewDecoder(r), nil}
	err := d.object(func(key string) error { return d.field(&rec, key) })
	if err == nil && rec.Version == 0 && rec.Releases == nil {
		err = errors.New("it is no state of a daemon")
	}
	if err == nil {
		err = errors.Join(d.misfits...)
	}
	if err != nil {
		err = errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return rec, err
}

// recordDecoder reads a record value by value.
type recordDecoder struct {
	*json.Decoder
	misfits []error // values that were skipped
}

// object reads an object; field reads the value that follows a key.
func (d *recordDecoder) object(field func(key string) error) error {
	if err := d.delimiter('{'); err != nil {
		return err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return torn(err)
		}
		if err := field(key.(string)); err != nil {
			return err
		}
	}
	return d.delimiter('}')
}

func (d *recordDecoder) delimiter(want json.Delim) error {
	token, err := d.Token()
	if err != nil {
		return torn(err)
	}
	if token != want {
		return fmt.Errorf("there is %v instead of %v", token, want)
	}
	return nil
}

// field reads the value of one key of the record.
func (d *recordDecoder) field(rec *record, key string) error {
	switch key {
	case "releases":
		return list(d, key, &rec.Releases)
	case "services":
		return list(d, key, &rec.Services)
	case "singletons":
		return list(d, key, &rec.Singletons)
	case "orphans":
		return list(d, key, &rec.Orphans)
	}
	raw, err := d.raw()
	if err != nil {
		return err
	}
	if !slices.Contains(jsonKeys(reflect.TypeFor[plainRecord]()), key) {
		rec.extra[key] = raw
		return nil
	}
	d.fit(key, json.Unmarshal(bytes.Join([][]byte{[]byte(`{"` + key + `":`), raw, []byte("}")}, nil), (*plainRecord)(rec)))
	return nil
}

// list reads a list element by element.
func list[T any](d *recordDecoder, key string, into *[]T) error {
	if err := d.delimiter('['); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	*into = []T{}
	for d.More() {
		raw, err := d.raw()
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		var element T
		err = json.Unmarshal(raw, &element)
		d.fit(key, err)
		if err == nil {
			*into = append(*into, element)
		}
	}
	return d.delimiter(']')
}

func (d *recordDecoder) raw() (raw json.RawMessage, err error) {
	if err := d.Decode(&raw); err != nil {
		return nil, torn(err)
	}
	return raw, nil
}

func (d *recordDecoder) fit(key string, err error) {
	if err != nil {
		d.misfits = append(d.misfits, fmt.Errorf("%s: %w", key, err))
	}
}

// torn says in words that the text ends too early.
func torn(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it breaks off")
	}
	return err
}

// keepAside keeps a file under another name, which says why, before the next
// write replaces it.
func keepAside(path, why string, now time.Time) (string, error) {
	aside := path + "." + why + "-" + now.UTC().Format("20060102T150405.000Z")
	if err := os.Link(path, aside); err == nil || errors.Is(err, fs.ErrExist) {
		return aside, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	return aside, writeSynced(aside, b)
}

// parseTime reads a time as the status tells it; what is none is zero.
func parseTime(text string) time.Time {
	t, _ := time.Parse(time.RFC3339Nano, text)
	return t
}
