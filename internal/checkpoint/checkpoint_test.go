package checkpoint

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/stored/storedtest"
)

var update = flag.Bool("update", false, "write the manifest of this format, if there is none")

const someJob = job.ID("0190a0b0c0d07000800000000000000f")

func manifest() *Manifest {
	at := time.Date(2026, 11, 25, 12, 0, 0, 5, time.UTC)
	out := func(name string) []job.OperatorOutput {
		return []job.OperatorOutput{{Operator: "sink", Output: job.Output{Temp: "/out/." + name, Final: "/out/" + name}}}
	}
	return &Manifest{
		Version: Version, Job: someJob, Checkpoint: 7, Epoch: 3, Attempt: 2, GraphHash: "abc", Triggered: at, Completed: at.Add(time.Second),
		Subtasks: []job.Acknowledgement{
			{Checkpoint: 7, Subtask: job.Subtask{Vertex: 0, Index: 0}, States: []job.StateHandle{{Operator: "count", Data: []byte("x"), Size: 1, CRC: 9}}, Outputs: out("a")},
			{Checkpoint: 7, Subtask: job.Subtask{Vertex: 0, Index: 1}, States: []job.StateHandle{{Operator: "count", File: "f", Size: 41}, {Operator: "sink", Size: 8}}},
			{Checkpoint: 7, Subtask: job.Subtask{Vertex: 1, Index: 0}, Outputs: out("b"), Finished: true},
		},
	}
}

func TestManifestRoundTrip(t *testing.T) {
	m := manifest()
	b := m.Encode()
	back, err := Decode(b)
	if err != nil || !reflect.DeepEqual(back, m) {
		t.Fatalf("got %+v, %v", back, err)
	}
	slices.Reverse(back.Subtasks)
	if !bytes.Equal(back.Encode(), b) {
		t.Error("another order of subtasks is encoded differently")
	}
	if back.Subtasks[0].Subtask.Vertex != 1 {
		t.Error("Encode changed its manifest")
	}
	if m.Size() != 50 {
		t.Errorf("size %d", m.Size())
	}
	if s := m.States("count"); len(s) != 2 || s[0].Subtask != 0 || s[1].Subtask != 1 || s[1].File != "f" {
		t.Errorf("states %+v", s)
	}
	if o := m.Outputs(); len(o) != 2 || o[0].Final != "/out/a" || o[1].Temp != "/out/.b" {
		t.Errorf("outputs %+v", o)
	}
}

func TestAWildClockCostsNoManifest(t *testing.T) {
	m := manifest()
	m.Completed = time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)
	if back, err := Decode(m.Encode()); err != nil || !back.Completed.IsZero() {
		t.Errorf("%v, %v", back, err)
	}
}

func TestDecodeRefusesEveryDamage(t *testing.T) {
	b := manifest().Encode()
	for i := range b {
		if _, err := Decode(b[:i]); err == nil {
			t.Errorf("the first %d of %d bytes were read", i, len(b))
		}
		flipped := slices.Clone(b)
		flipped[i] ^= 1
		if _, err := Decode(flipped); err == nil || errors.Is(err, ErrNewer) {
			t.Errorf("byte %d flipped: %v", i, err)
		}
	}
	if _, err := Decode(append(b, b...)); err == nil {
		t.Error("two manifests were read as one")
	}
}

func TestDecodeRefusesContradictions(t *testing.T) {
	for want, change := range map[string]func(*Manifest){
		"no job id":        func(m *Manifest) { m.Job = "../x" },
		"count from 1":     func(m *Manifest) { m.Checkpoint = 0 },
		"attempt 0":        func(m *Manifest) { m.Attempt = 0 },
		"twice":            func(m *Manifest) { m.Subtasks[1].Subtask = m.Subtasks[0].Subtask },
		"count from 0":     func(m *Manifest) { m.Subtasks[0].Subtask.Index = -1 },
		"acknowledged":     func(m *Manifest) { m.Subtasks[2].Checkpoint = 6 },
		"disk full":        func(m *Manifest) { m.Subtasks[2].Failure = "disk full" },
		"no state has -1":  func(m *Manifest) { m.Subtasks[0].States[0].Size = -1 },
		"no state has 922": func(m *Manifest) { m.Subtasks[1].States[1].Size = 1<<63 - 1 },
	} {
		m := manifest()
		change(m)
		if _, err := Decode(m.Encode()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want an error with %q", err, want)
		}
	}
}

// TestManifestsOfOlderReleases: what a release has stored is all there today. The file has every field filled, and is never changed.
func TestManifestsOfOlderReleases(t *testing.T) {
	const file = "testdata/manifest-1"
	if _, err := os.Stat(file); *update && err != nil {
		var m Manifest
		storedtest.Fill(reflect.ValueOf(&m).Elem())
		if err := os.WriteFile(file, m.Encode(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := new(Manifest)
	if err := decode(b, m); err != nil {
		t.Fatal(err)
	}
	text, _, _ := bytes.Cut(b, []byte("\n"))
	if lost := storedtest.Lost(text, m); lost != "" {
		t.Errorf("today %s is lost or another", lost)
	}
}

func TestDecodeTellsANewerFormat(t *testing.T) {
	if _, err := Decode(seal([]byte(`{"version":2,"job":{"is":"an object now"}}`))); !errors.Is(err, ErrNewer) {
		t.Errorf("%v, want ErrNewer", err)
	}
	if _, err := Decode(seal([]byte(`{}`))); err == nil || errors.Is(err, ErrNewer) {
		t.Errorf("no version: %v", err)
	}
}

// FuzzDecode gives its input a right checksum as well, as hardly any input would have one.
func FuzzDecode(f *testing.F) {
	b := manifest().Encode()
	f.Add(b)
	f.Add(b[:bytes.IndexByte(b, '\n')])
	f.Add([]byte(`{"version":1,"subtasks":[{},{}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, seal(slices.Clone(b))} {
			m, err := Decode(b)
			if err != nil {
				continue
			}
			again, err := Decode(m.Encode())
			if err != nil {
				t.Fatalf("%q was read, and not after it was written: %v", b, err)
			}
			if !bytes.Equal(again.Encode(), m.Encode()) || m.Size() < 0 {
				t.Fatalf("%q changes when it is written", b)
			}
		}
	})
}

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// at is so many seconds after noon.
func at(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }

func TestDue(t *testing.T) {
	s := Schedule{Interval: 10 * time.Second, MinPause: 4 * time.Second}
	long := Schedule{Interval: 10 * time.Second, MinPause: 30 * time.Second}
	none := time.Time{}
	for name, c := range map[string]struct {
		s                     Schedule
		reserved, closed, due time.Time
	}{
		"the first":                           {s, none, none, at(10)},
		"one is open":                         {s, at(-3), none, at(7)},
		"a quick one: the interval counts":    {s, at(-3), at(-2), at(7)},
		"a slow one: the pause counts":        {s, at(-9), at(-1), at(3)},
		"overdue":                             {s, at(-100), at(-50), at(-46)},
		"the pause alone is known":            {s, none, at(-1), at(3)},
		"a pause longer than the interval":    {long, at(-20), at(-1), at(29)},
		"a clock a little ahead":              {s, at(2), at(3), at(10)},
		"a clock that jumped an hour back":    {s, at(3600), at(3601), noon},
		"only the end was told by that clock": {s, at(-3), at(3600), at(7)},
		"within the longer of the two waits":  {long, at(25), at(25), at(30)},
	} {
		if got := c.s.Due(noon, c.reserved, c.closed); !got.Equal(c.due) {
			t.Errorf("%s: due %v, want %v", name, got.Sub(noon), c.due.Sub(noon))
		}
	}
}

// However far the clock jumps, one who looks every second finds a checkpoint due before long.
func TestAJumpingClockStopsNoCheckpoint(t *testing.T) {
	s := Schedule{Interval: 10 * time.Second, MinPause: 4 * time.Second, Timeout: 7 * time.Second}
	for ahead := range 100 {
		waited, expired := 0, 0
		for s.Due(at(waited), at(ahead), at(ahead)).After(at(waited)) {
			waited++
		}
		for !s.Expired(at(expired), at(ahead)) {
			expired++
		}
		if waited > 20 || expired > 14 {
			t.Errorf("%d s back: due after %d s, expired after %d s", ahead, waited, expired)
		}
	}
}

func TestExpired(t *testing.T) {
	s := Schedule{Timeout: 10 * time.Second}
	for seconds, want := range map[int]bool{0: false, -9: false, -10: true, -1000: true, 5: false, 10: false, 11: true} {
		if got := s.Expired(noon, at(seconds)); got != want {
			t.Errorf("reserved at %d s: %v", seconds, got)
		}
	}
	if !s.Expired(noon, time.Time{}) || (Schedule{}).Expired(noon, at(-1000)) {
		t.Error("no time has not expired, or no timeout has")
	}
}

func TestCollect(t *testing.T) {
	a, b := job.Subtask{Vertex: 0, Index: 1}, job.Subtask{Vertex: 1, Index: 0}
	both := []job.Subtask{a, b}
	ack := func(s job.Subtask, id job.CheckpointID, failure string) job.Acknowledgement {
		return job.Acknowledgement{Checkpoint: id, Subtask: s, Failure: failure}
	}
	for name, c := range map[string]struct {
		acks     []job.Acknowledgement
		subtasks []job.Subtask
		complete bool
		missing  []job.Subtask
		failure  string
	}{
		"nothing yet":         {nil, both, false, both, ""},
		"one":                 {[]job.Acknowledgement{ack(b, 5, "")}, both, false, []job.Subtask{a}, ""},
		"all":                 {[]job.Acknowledgement{ack(b, 5, ""), ack(a, 5, "")}, both, true, nil, ""},
		"an earlier one":      {[]job.Acknowledgement{ack(b, 5, ""), ack(a, 4, "late")}, both, false, []job.Subtask{a}, ""},
		"a failure":           {[]job.Acknowledgement{ack(b, 5, ""), ack(a, 5, "disk full")}, both, false, []job.Subtask{a}, "subtask 1 of vertex 0: disk full"},
		"a stranger":          {[]job.Acknowledgement{ack(b, 5, ""), ack(a, 5, "x")}, []job.Subtask{b}, true, nil, ""},
		"nobody can complete": {nil, nil, false, nil, ""},
	} {
		acks := map[job.Subtask]job.Acknowledgement{}
		for _, ack := range c.acks {
			acks[ack.Subtask] = ack
		}
		complete, missing, failure := Collect(acks, c.subtasks, 5)
		if complete != c.complete || !slices.Equal(missing, c.missing) || failure != c.failure {
			t.Errorf("%s: %v, %v, %q", name, complete, missing, failure)
		}
	}
}

func TestGarbage(t *testing.T) {
	for name, c := range map[string]struct {
		dirs, retained []Dir
		open, reserved job.CheckpointID
		want           []Dir
	}{
		"nothing":                     {nil, []Dir{{1, 1}}, 0, 1, nil},
		"closed and not named":        {[]Dir{{1, 1}, {2, 1}, {3, 1}}, []Dir{{2, 1}}, 0, 3, []Dir{{1, 1}, {3, 1}}},
		"open":                        {[]Dir{{1, 1}, {2, 1}}, nil, 2, 2, []Dir{{1, 1}}},
		"a successor's":               {[]Dir{{2, 1}, {3, 2}}, []Dir{{2, 1}}, 0, 2, nil},
		"another attempt's leavings":  {[]Dir{{2, 1}, {2, 2}}, []Dir{{2, 2}}, 0, 2, []Dir{{2, 1}}},
		"open, under another attempt": {[]Dir{{2, 1}, {2, 2}}, nil, 2, 2, nil},
	} {
		if got := Garbage(c.dirs, c.retained, c.open, c.reserved); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
