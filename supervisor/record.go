package supervisor

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"rollbridge/supervisor/runner"
)

// recordVersion is the form of the state file. It grows when an older version
// could not make sense of the file any more, not when a key is added.
const recordVersion = 1

// record is the state file: what a later daemon has to know. It is the answer of
// `status` with what finds processes again, and without commands, environments,
// directories and output. The keys stand in the order of their worth, since of a
// torn file only the beginning can be read.
type record struct {
	Version          int             `json:"version"`
	Application      string          `json:"application"`
	BootID           string          `json:"bootId"`
	ActiveReleaseID  *string         `json:"activeReleaseId"` // the one to come back with
	ActiveGeneration int             `json:"activeGeneration,omitempty"`
	Releases         []releaseRecord `json:"releases"` // the starting one too
	Services         []ownedRecord   `json:"services"`
	Singletons       []ownedRecord   `json:"singletons"`
	Orphans          []orphanRecord  `json:"orphans"`
	Config           string          `json:"config,omitempty"`
	Control          ControlStatus   `json:"control"`
	DaemonRuntime    DaemonRuntime   `json:"daemonRuntime"`
	PID              int             `json:"pid,omitempty"`
	Proxy            ProxyStatus     `json:"proxy"`
	Runner           string          `json:"runner,omitempty"`
	PersistedAt      string          `json:"persistedAt"`
	Events           []Event         `json:"events"`

	extra extra
}

// releaseRecord is a release in the state file.
type releaseRecord struct {
	ReleaseStatus
	Processes       []processRecord `json:"processes"`
	ConfigDigest    string          `json:"configDigest,omitempty"`    // of the configuration it was planned from
	ProvenAt        time.Time       `json:"provenAt,omitzero"`         // start of the web process's instance that was healthy last
	OnRequest       bool            `json:"onRequest,omitempty"`       // it is being stopped by a command
	StartedServices []string        `json:"startedServices,omitempty"` // while it starts: what it brought up of the daemon's own

	extra extra
}

// processRecord is a process in the state file. The fields that hide those of
// ProcessStatus are never written.
type processRecord struct {
	ProcessStatus
	Children json.RawMessage `json:"children,omitempty"`
	Command  json.RawMessage `json:"command,omitempty"`
	Cwd      json.RawMessage `json:"cwd,omitempty"`
	Logs     json.RawMessage `json:"logs,omitempty"`
	Ref      runner.Ref      `json:"ref,omitzero"`

	extra extra
}

// ownedRecord is a process of the daemon's own in the state file.
type ownedRecord struct {
	ID         string        `json:"id"`
	Process    processRecord `json:"process"`
	ReleaseID  string        `json:"releaseId,omitempty"` // whose definition it has
	Generation int           `json:"generation,omitempty"`

	extra extra
}

// orphanRecord is a process that an earlier daemon left running and that no
// daemon can take back.
type orphanRecord struct {
	Orphan
	Ref runner.Ref `json:"ref,omitzero"`
}

// extra is what a newer version has written into an object besides: it is kept.
type extra map[string]json.RawMessage

// sensitive are keys that the state file never has, at any depth.
var sensitive = []string{"children", "command", "cwd", "env", "environment", "logs", "output"}

// snapshot is the content of the state file now.
func (s *Supervisor) snapshot() ([]byte, error) {
	b, err := json.Marshal(s.record())
	if err != nil {
		return nil, err
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, b, "", "  "); err != nil {
		return nil, err
	}
	pretty.WriteByte('\n')
	return pretty.Bytes(), nil
}

// record is what a later daemon has to know.
func (s *Supervisor) record() record {
	events, _, _ := s.events.since(0)
	s.mu.Lock()
	defer s.mu.Unlock()
	rec := record{
		Version: recordVersion, Application: s.config.Application, BootID: s.opt.BootID,
		ActiveReleaseID: s.comeback.idOrNil(),
		Releases:        []releaseRecord{}, Services: ownedRecords(s.services), Singletons: ownedRecords(s.singletons),
		Orphans: slices.Clone(s.orphans), Config: s.opt.Config.File, Control: controlStatus(s.opt.Config.Control),
		DaemonRuntime: s.opt.Runtime, PID: os.Getpid(), Proxy: s.proxyStatusLocked(), Runner: s.runner.Kind(),
		PersistedAt: timestamp(time.Now()), Events: reduced(events), extra: s.extra,
	}
	if s.comeback != nil {
		rec.ActiveGeneration = s.comeback.generation
	}
	for _, r := range s.listedLocked() {
		rec.Releases = append(rec.Releases, s.releaseRecordLocked(r))
	}
	if rec.Orphans == nil {
		rec.Orphans = []orphanRecord{}
	}
	return rec
}

// listedLocked is the releases, with the one that is starting, and with the one
// to come back, even if a shutdown has stopped it and it is listed no more.
func (s *Supervisor) listedLocked() []*release {
	list := slices.Clone(s.releases)
	for _, r := range []*release{s.comeback, s.starting} {
		if r != nil && !slices.Contains(list, r) {
			list = append(list, r)
		}
	}
	return list
}

func (s *Supervisor) releaseRecordLocked(r *release) releaseRecord {
	rec := releaseRecord{
		ReleaseStatus: r.figuresLocked(), Processes: []processRecord{}, ConfigDigest: r.digest(), ProvenAt: r.proven,
		OnRequest: r.onRequest, StartedServices: slices.Clone(r.startedServices), extra: r.extra,
	}
	if r == s.comeback {
		rec.State = string(active)
	}
	for _, p := range r.processes {
		rec.Processes = append(rec.Processes, processRecordOf(p))
	}
	return rec
}

func processRecordOf(p runner.Process) processRecord {
	rec := processRecord{ProcessStatus: processStatus(p), Ref: p.Ref()}
	if a, ok := p.(*adopted); ok {
		rec.extra = a.extra
	}
	return rec
}

func ownedRecords(processes []runner.Process) []ownedRecord {
	list := []ownedRecord{}
	for _, p := range processes {
		spec := p.Spec()
		list = append(list, ownedRecord{ID: spec.Instance, Process: processRecordOf(p), ReleaseID: spec.Release, Generation: spec.Generation})
	}
	return list
}

// reduced is the events without what may be secret.
func reduced(events []Event) []Event {
	list := make([]Event, len(events))
	for i, e := range events {
		data, _ := withoutSensitive(e.Data).(map[string]any)
		list[i] = Event{At: e.At, Data: data, Message: e.Message}
	}
	return list
}

// withoutSensitive copies objects and lists of them without the sensitive keys.
func withoutSensitive(v any) any {
	switch v := v.(type) {
	case map[string]any:
		clean := make(map[string]any, len(v))
		for key, value := range v {
			if !slices.Contains(sensitive, key) {
				clean[key] = withoutSensitive(value)
			}
		}
		return clean
	case []any:
		clean := make([]any, len(v))
		for i, value := range v {
			clean[i] = withoutSensitive(value)
		}
		return clean
	}
	return v
}

// The records are written with what a newer version has added, and read so that
// it is kept. The plain types have no methods, lest they call themselves.
type (
	plainRecord  record
	plainRelease releaseRecord
	plainProcess processRecord
	plainOwned   ownedRecord
)

// MarshalJSON writes the record and its extra keys.
func (r record) MarshalJSON() ([]byte, error) { return joinExtra(plainRecord(r), r.extra) }

// MarshalJSON writes the record and its extra keys.
func (r releaseRecord) MarshalJSON() ([]byte, error) { return joinExtra(plainRelease(r), r.extra) }

// MarshalJSON writes the record and its extra keys.
func (r processRecord) MarshalJSON() ([]byte, error) { return joinExtra(plainProcess(r), r.extra) }

// MarshalJSON writes the record and its extra keys.
func (r ownedRecord) MarshalJSON() ([]byte, error) { return joinExtra(plainOwned(r), r.extra) }

// UnmarshalJSON reads the record and keeps unknown keys.
func (r *releaseRecord) UnmarshalJSON(b []byte) (err error) {
	r.extra, err = splitExtra(b, (*plainRelease)(r))
	return err
}

// UnmarshalJSON reads the record and keeps unknown keys.
func (r *processRecord) UnmarshalJSON(b []byte) (err error) {
	r.extra, err = splitExtra(b, (*plainProcess)(r))
	return err
}

// UnmarshalJSON reads the record and keeps unknown keys.
func (r *ownedRecord) UnmarshalJSON(b []byte) (err error) {
	r.extra, err = splitExtra(b, (*plainOwned)(r))
	return err
}

// joinExtra writes a struct as an object, with more keys at its end.
func joinExtra(v any, more extra) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil || len(more) == 0 {
		return b, err
	}
	b = bytes.TrimSuffix(b, []byte("}"))
	for _, key := range slices.Sorted(maps.Keys(more)) {
		name, err := json.Marshal(key)
		if err != nil {
			return nil, err
		}
		b = append(append(append(append(b, ','), name...), ':'), more[key]...)
	}
	return append(b, '}'), nil
}

// splitExtra reads an object into a struct and returns the keys that the struct
// does not have.
func splitExtra(b []byte, into any) (extra, error) {
	if err := json.Unmarshal(b, into); err != nil {
		return nil, err
	}
	var all extra
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, err
	}
	known := jsonKeys(reflect.TypeOf(into).Elem())
	maps.DeleteFunc(all, func(key string, _ json.RawMessage) bool {
		return slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, key) })
	})
	return all, nil
}

// jsonKeys are the keys that a struct is written with.
func jsonKeys(t reflect.Type) (keys []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			keys = append(keys, jsonKeys(f.Type)...)
		case name != "":
			keys = append(keys, name)
		}
	}
	return keys
}
