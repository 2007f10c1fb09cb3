package operator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/shuffle"
	"github.com/perennial-io/perennial/internal/state"
)

// journal is the end of a chain that writes down all that comes, and a state: what has come.
type journal[T any] struct{ lines []string }

func (j *journal[T]) Batch(records []T) error {
	for _, r := range records {
		j.lines = append(j.lines, fmt.Sprint(r))
	}
	return nil
}
func (j *journal[T]) Event(e record.Event) error {
	j.lines = append(j.lines, fmt.Sprintf("%c%d", e.String()[0], e.Value))
	return nil
}
func (j *journal[T]) End() error { j.lines = append(j.lines, "end"); return nil }
func (j *journal[T]) Snapshot() ([]Snapshot, error) {
	return []Snapshot{{Data: []byte(j.String())}}, nil
}
func (j *journal[T]) String() string { return strings.Join(j.lines, " ") }

// channelWriter writes to one channel of a gate.
func channelWriter[T any](t *testing.T, gate *shuffle.Gate[T], channel int) *shuffle.Writer[T] {
	return shuffle.NewWriter(shuffle.Forward[T](), []shuffle.Output[T]{shuffle.LocalOutput(gate, channel)},
		shuffle.WriterConfig{Context: t.Context(), Immediate: true, Credits: 8})
}

// stepAll steps d until it waits or is done.
func stepAll(t *testing.T, d Driver) Outcome {
	t.Helper()
	for {
		outcome, err := d.Step()
		if err != nil {
			t.Fatal(err)
		}
		if outcome != Worked {
			return outcome
		}
	}
}

// TestAlignment sends on two channels, a and b, or three, step by step: a number is a record, "b" and a number a
// barrier, "w" and a number a watermark, "i" that it is idle and "a" that it is so no more, "end" the end. The channels are of one input, or a is the only one of the first.
func TestAlignment(t *testing.T) {
	tests := []struct {
		name, sent string
		want       string // all that the chain saw
		states     []string
	}{
		{"one is ahead", "a:1 a:b1 a:2 b:3 b:b1 a:4 b:5 a:end b:end",
			"1 3 b1 2 4 5 end", []string{"1 3 b1"}},
		{"the next one comes while the first is aligned", "a:1 a:b1 a:2 a:b2 a:3 b:4 b:b1 b:5 b:b2 a:end b:end",
			"1 4 b1 2 5 b2 3 end", []string{"1 4 b1", "1 4 b1 2 5 b2"}},
		{"superseded by the other channel", "a:b1 a:1 a:b2 a:2 b:3 b:b2 b:4 a:end b:end",
			"3 1 b2 2 4 end", []string{"3 1 b2"}},
		{"superseded before the held channel gave it", "a:b1 a:1 b:b2 b:3 a:2 a:b2 a:4 a:end b:end",
			"1 2 b2 3 4 end", []string{"1 2 b2"}},
		{"the end of a channel aligns it", "a:b1 a:1 b:2 b:end a:2 a:end",
			"2 b1 1 2 end", []string{"2 b1"}},
		{"a channel had ended before", "b:end a:1 a:b1 a:2 a:end",
			"1 b1 2 end", []string{"1 b1"}},
		{"the end comes right behind the barrier", "a:b1 a:end b:1 b:end",
			"1 b1 end", []string{"1 b1"}},
		{"one that was taken is ignored", "a:b3 b:b3 a:b2 a:1 b:b3 b:2 a:end b:end",
			"b3 1 2 end", []string{"b3"}},
		{"one lower than that which is aligned is ignored", "a:b2 a:1 b:b1 b:2 b:b2 a:end b:end",
			"2 b2 1 end", []string{"2 b2"}},
		{"the next one is aligned among what was held back", "a:b1 a:b2 a:3 c:b1 c:b2 a:4 b:end a:end c:end",
			"b1 b2 3 4 end", []string{"b1", "b1 b2"}},
		{"no barrier", "a:1 b:2 a:end b:end", "1 2 end", nil},
		{"the lowest watermark goes on", "a:w5 a:1 b:w3 b:w4 b:2 a:w9 b:w9 b:w10 a:end b:end",
			"1 w3 w4 2 w9 w10 end", nil},
		{"a watermark never goes back", "a:w5 b:w5 a:w3 b:w4 a:w6 b:w6 a:end b:end", "w5 w6 end", nil},
		{"who has ended holds back none", "a:w5 b:1 b:end a:w7 a:end", "1 w5 w7 end", nil},
		{"a watermark behind a barrier waits with it", "a:b1 a:w5 b:w7 b:1 b:b1 a:end b:end", "1 b1 w5 w7 end", []string{"1 b1"}},
		{"who is idle holds back none", "a:w5 b:i0 a:w7 b:a0 a:w9 b:w8 a:end b:end", "w5 w7 w8 w9 end", nil},
		{"who is idle from the beginning", "b:i0 b:i0 a:w5 a:1 a:end b:end", "w5 1 i0 end", nil},
		{"who wakes behind holds it where it is", "a:w5 b:w3 b:i0 b:a0 a:w9 b:w4 b:w6 b:w7 a:end b:end", "w3 w5 w6 w7 w9 end", nil},
		{"all are idle", "a:w5 b:w3 b:i0 a:i0 a:a0 a:1 a:w6 b:a0 b:w7 a:end b:end", "w3 w5 i0 a0 1 w6 w7 end", nil},
		{"all are idle, the first one last", "a:w5 b:w3 a:i0 b:i0 b:a0 b:w4 b:w6 a:end b:end", "w3 w5 i0 a0 w6 end", nil},
		{"all are idle, and none has said how far it is", "a:i0 b:i0 a:a0 a:w1 a:end b:end", "i0 a0 w1 i0 end", nil},
		{"all that have not ended are idle", "a:w5 b:w3 b:i0 a:end b:a0 b:w4 b:w6 b:i0 b:end", "w3 w5 i0 a0 w6 i0 end", nil},
		{"all are idle but one, which has ended and was ahead", "a:w5 b:w3 a:w9 b:i0 a:end b:end", "w3 w9 i0 end", nil},
		{"an ended one that was ahead", "a:w5 b:w3 a:w9 a:end b:i0 b:end", "w3 w9 i0 end", nil},
		{"idle ones end", "a:w5 b:w3 b:i0 a:i0 b:end a:a0 a:w6 a:end", "w3 w5 i0 a0 w6 end", nil},
		{"one of three wakes", "a:w9 b:w9 c:i0 b:i0 a:w10 c:a0 a:w11 b:a0 c:w12 a:w13 b:w12 a:end b:end c:end", "w9 w10 w12 w13 end", nil},
		{"idle behind a barrier", "a:w5 b:b1 b:i0 a:w7 a:b1 a:w8 a:end b:end", "b1 w7 w8 i0 end", []string{"b1"}},
	}
	for _, test := range tests {
		n := 2 + min(1, strings.Count(test.sent, "c:"))
		for _, inputs := range [][]int{{n}, {1, n - 1}} {
			t.Run(fmt.Sprint(test.name, inputs), func(t *testing.T) {
				var out journal[int]
				w := NewWiring(t.Context(), ContextConfig{})
				var states []string
				w.OnCheckpoint(func(p Prepared) { states = append(states, string(p.Snapshots[0].Data)) })
				w.Remember("journal", &out)
				channels := map[string]*shuffle.Writer[int]{}
				var ports []Port
				for _, of := range inputs {
					gate := shuffle.NewGate[int](of, mustCodec[int](t))
					ports = append(ports, CarrierOf[int]().Port(gate, &out, len(channels)))
					for i := range of {
						channels["abc"[len(channels):len(channels)+1]] = channelWriter(t, gate, i)
					}
				}
				d := newGateDriver(w, ports, n)
				outcome := Worked
				for _, step := range strings.Fields(test.sent) {
					channel, what, _ := strings.Cut(step, ":")
					send(t, channels[channel], what)
					outcome = stepAll(t, d)
				}
				if outcome != Done || out.String() != test.want || !slices.Equal(states, test.states) {
					t.Errorf("done %t\n got %v, states %q\nwant %v, states %q", outcome == Done, &out, states, test.want, test.states)
				}
			})
		}
	}
}

func send(t *testing.T, to Receiver[int], what string) {
	t.Helper()
	var n int
	var err error
	switch {
	case what == "end":
		err = to.End()
	case strings.HasPrefix(what, "b"):
		fmt.Sscan(what[1:], &n)
		err = to.Event(record.Event{Kind: record.Barrier, Value: int64(n)})
	case strings.HasPrefix(what, "w"):
		fmt.Sscan(what[1:], &n)
		err = to.Event(record.Event{Kind: record.Watermark, Value: int64(n)})
	case what == "i0":
		err = to.Event(record.Event{Kind: record.Idle})
	case what == "a0":
		err = to.Event(record.Event{Kind: record.Active})
	default:
		fmt.Sscan(what, &n)
		err = to.Batch([]int{n})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// counting returns a step that appends each record to its key's list.
func counting(t *testing.T, w *Wiring, out Receiver[string]) Receiver[int] {
	t.Helper()
	step, err := Aggregate(w, "lists", Keyed[string, int, []int, string]{
		Key:    func(n int) string { return fmt.Sprint("key ", n%3000) },
		Groups: 256,
		Add: func(acc *[]int, n int) {
			if len(*acc) > 0 {
				(*acc)[0]++ // in memory that a shallow copy would share
			}
			*acc = append(*acc, n)
		},
		Result: func(k string, acc []int) string { return fmt.Sprint(k, acc) },
	}, out)
	if err != nil {
		t.Fatal(err)
	}
	return step
}

// results ends a step and returns what it emits, sorted.
func results(t *testing.T, step Receiver[int], out *collector[string]) []string {
	t.Helper()
	if err := step.End(); err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(slices.Values(out.records))
}

func numbers(from, to int) []int {
	var list []int
	for n := from; n < to; n++ {
		list = append(list, n)
	}
	return list
}

func batch(t *testing.T, step Receiver[int], records []int) {
	t.Helper()
	if err := step.Batch(slices.Clone(records)); err != nil {
		t.Fatal(err)
	}
}

// bytesOf writes a snapshot.
func bytesOf(t *testing.T, s Stateful) []byte {
	t.Helper()
	snapshots, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	snapshot := snapshots[0]
	if snapshot.Write == nil {
		return snapshot.Data
	}
	var buf bytes.Buffer
	if err := snapshot.Write(&buf); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// stateOf is what a subtask wrote of the state of a Reduce, an Aggregate or a source.
func stateOf(name string, subtask int, data []byte) Restored {
	return Restored{Handle: job.StateHandle{State: name}, Subtask: subtask, Data: data}
}

// slowly writes to a buffer, and lets the test do something before each write.
type slowly struct {
	bytes.Buffer
	before func()
}

func (s *slowly) Write(b []byte) (int, error) { s.before(); return s.Buffer.Write(b) }

// TestSnapshotWhileRecordsGoOn: two snapshots are written while records change and add entries, and
// each is what the table was.
func TestSnapshotWhileRecordsGoOn(t *testing.T) {
	w := NewWiring(t.Context(), ContextConfig{})
	var out collector[string]
	step := counting(t, w, &out)
	stateful := step.(Stateful)
	batch(t, step, numbers(0, 2500))
	want := [][]byte{bytesOf(t, stateful), nil}
	first, err := stateful.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	begun, more := make(chan bool), make(chan bool)
	done := [2]chan []byte{make(chan []byte, 1), make(chan []byte, 1)}
	write := func(i int, s Snapshot) {
		begin := sync.OnceFunc(func() { begun <- true; <-more })
		to := slowly{before: begin} // the rest is written while records go on
		if err := s.Write(&to); err != nil {
			t.Error(err)
		}
		done[i] <- to.Bytes()
	}
	go write(0, first[0])
	<-begun
	batch(t, step, numbers(100, 2900))
	want[1] = bytesOf(t, stateful)
	second, err := stateful.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	go write(1, second[0])
	<-begun
	close(more)
	for round := range 10 {
		batch(t, step, numbers(round, 3000))
	}
	got := [][]byte{<-done[0], <-done[1]}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("snapshot %d is not what the table was", i)
		}
	}
}

// TestRescaledState: 2 subtasks write, 3 read; each key goes on in one.
func TestRescaledState(t *testing.T) {
	wired := func(states []Restored, subtask, parallelism int) (Receiver[int], *collector[string]) {
		w := NewWiring(t.Context(), ContextConfig{Subtask: subtask, Parallelism: parallelism})
		w.Restore(1, map[string][]Restored{"lists": states}, nil, nil)
		var out collector[string]
		return counting(t, w, &out), &out
	}
	only, all := wired(nil, 0, 1)
	batch(t, only, numbers(0, 7000))
	whole := []Restored{stateOf(accumulators, 0, bytesOf(t, only.(Stateful)))}
	want := results(t, only, all)
	states := whole
	for _, parallelism := range []int{2, 3, 1} {
		var got []string
		var next []Restored
		for i := range parallelism {
			step, out := wired(states, i, parallelism)
			next = append(next, stateOf(accumulators, i, bytesOf(t, step.(Stateful))))
			mine := results(t, step, out)
			if len(mine) == 0 {
				t.Errorf("subtask %d of %d has nothing", i, parallelism)
			}
			got = append(got, mine...)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%d subtasks have %d results, want %d", parallelism, len(got), len(want))
		}
		states = next
	}
}

// TestStateThatEnded: what was emitted at the end is not emitted again after a restore.
func TestStateThatEnded(t *testing.T) {
	w := NewWiring(t.Context(), ContextConfig{})
	step := counting(t, w, &collector[string]{})
	batch(t, step, numbers(0, 10))
	if err := step.End(); err != nil {
		t.Fatal(err)
	}
	w = NewWiring(t.Context(), ContextConfig{})
	w.Restore(1, map[string][]Restored{"lists": {stateOf(accumulators, 0, bytesOf(t, step.(Stateful)))}}, nil, nil)
	var out collector[string]
	if again := results(t, counting(t, w, &out), &out); len(again) > 0 {
		t.Errorf("got %q again", again)
	}
}

func TestMalformedState(t *testing.T) {
	w := NewWiring(t.Context(), ContextConfig{})
	step := counting(t, w, &collector[string]{})
	batch(t, step, numbers(0, 100))
	good := bytesOf(t, step.(Stateful))
	tests := map[string][][]byte{
		"empty":        {{}},
		"cut off":      {good[:len(good)-1]},
		"without end":  {good[:len(good)-4]},
		"longer":       {slices.Concat(good, []byte{0})},
		"another file": {append([]byte("PSX\x01"), good[4:]...)},
		"a key twice":  {good, good},
	}
	for name, data := range tests {
		w := NewWiring(t.Context(), ContextConfig{})
		var states []Restored
		for i, d := range data {
			states = append(states, stateOf(accumulators, i, d))
		}
		w.Restore(1, map[string][]Restored{"lists": states}, nil, nil)
		_, err := Aggregate(w, "lists", Keyed[string, int, []int, string]{Groups: 256}, &collector[string]{})
		if !errors.Is(err, state.ErrMalformed) || !strings.Contains(err.Error(), `"lists"`) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// piece is a split of numbers.
type piece struct{ From, To int }

// plainReader reads a piece and cannot tell where it is.
type plainReader struct{ left piece }

func (r *plainReader) Next(dst []int) (int, error) {
	if r.left.From == r.left.To {
		return 0, io.EOF
	}
	n := min(len(dst), r.left.To-r.left.From, 3)
	for i := range n {
		dst[i] = r.left.From + i
	}
	r.left.From += n
	return n, nil
}
func (r *plainReader) Ready() <-chan struct{} { return nil }
func (r *plainReader) Close() error           { return nil }

type resumableReader struct{ plainReader }

func (r *resumableReader) Remaining() piece { return r.left }

// subtasks is a source's readers over several attempts.
type subtasks struct {
	open   func(piece) (Reader[int], error)
	states []Restored
}

func (s *subtasks) wire(t *testing.T, gate *shuffle.Gate[piece], bounded bool, subtask, parallelism int) (*Wiring, Driver, *journal[int]) {
	w := NewWiring(t.Context(), ContextConfig{Subtask: subtask, Parallelism: parallelism})
	if s.states != nil {
		w.Restore(1, map[string][]Restored{"in": s.states}, nil, nil)
	}
	var out journal[int]
	return w, NewReading(w, Reading[piece, int]{Name: "in", Bounded: bounded, Open: s.open}, gate, &out), &out
}

// TestReadingGoesOn: one subtask reads some of two of three splits, and two others, restored, read the rest.
func TestReadingGoesOn(t *testing.T) {
	readers := map[string]func(p piece) (Reader[int], error){
		"resumable": func(p piece) (Reader[int], error) { return &resumableReader{plainReader{p}}, nil },
		"plain":     func(p piece) (Reader[int], error) { return &plainReader{p}, nil },
	}
	for name, open := range readers {
		for _, bounded := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, bounded %t", name, bounded), func(t *testing.T) {
				s := subtasks{open: open}
				gate := shuffle.NewGate[piece](1, mustCodec[piece](t))
				to := channelWriter(t, gate, 0)
				w, d, out := s.wire(t, gate, bounded, 0, 1)
				w.OnCheckpoint(func(p Prepared) { s.states = append(s.states, stateOf(sourceState, 0, p.Snapshots[0].Data)) })
				if err := to.Batch([]piece{{0, 10}, {10, 20}, {20, 30}}); err != nil {
					t.Fatal(err)
				}
				for range 2 {
					if _, err := d.Step(); err != nil {
						t.Fatal(err)
					}
				}
				w.Announce(1)
				if err := to.Event(record.Event{Kind: record.Barrier, Value: 1}); err != nil {
					t.Fatal(err)
				}
				if err := to.Batch([]piece{{100, 110}}); err != nil { // behind the barrier: lost with the attempt
					t.Fatal(err)
				}
				for len(s.states) == 0 {
					if _, err := d.Step(); err != nil {
						t.Fatal(err)
					}
				}
				at, _, _ := strings.Cut(out.String(), " b1")
				got := strings.Fields(at)
				if len(got) != 6 {
					t.Fatalf("before the checkpoint it read %v", got)
				}
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				got = append(got, s.rest(t, bounded, 2)...)
				if err := sameNumbers(got, 30); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// rest returns what so many subtasks read that are restored and get no other splits.
func (s *subtasks) rest(t *testing.T, bounded bool, parallelism int) (all []string) {
	t.Helper()
	for i := range parallelism {
		gate := shuffle.NewGate[piece](1, mustCodec[piece](t))
		if err := channelWriter(t, gate, 0).End(); err != nil {
			t.Fatal(err)
		}
		_, d, out := s.wire(t, gate, bounded, i, parallelism)
		if stepAll(t, d) != Done || len(out.lines) < 2 {
			t.Errorf("subtask %d read %v", i, out)
		}
		all = append(all, out.lines[:len(out.lines)-1]...)
	}
	return all
}

func sameNumbers(got []string, n int) error {
	seen := map[string]int{}
	for _, g := range got {
		seen[g]++
	}
	if len(got) != n || len(seen) != n {
		return fmt.Errorf("got %v, want 0 to %d once each", slices.Sorted(maps.Keys(seen)), n-1)
	}
	return nil
}

// TestReadingWithoutEnumerator: a function source drops what it had emitted; one that had ended does not
// begin again; a subtask that is new begins.
func TestReadingWithoutEnumerator(t *testing.T) {
	s := subtasks{open: func(piece) (Reader[int], error) { return &plainReader{piece{0, 7}}, nil }}
	w, d, _ := s.wire(t, nil, true, 0, 2)
	var states []Restored
	w.OnCheckpoint(func(p Prepared) { states = append(states, stateOf(sourceState, 0, p.Snapshots[0].Data)) })
	for range 2 {
		if _, err := d.Step(); err != nil {
			t.Fatal(err)
		}
		w.Announce(1)
	}
	w, d, _ = s.wire(t, nil, true, 1, 2)
	if stepAll(t, d) != Done {
		t.Fatal("subtask 1 did not come to its end")
	}
	p, _, err := w.Final(1)
	if err != nil {
		t.Fatal(err)
	}
	s.states = append(states, stateOf(sourceState, 1, p.Snapshots[0].Data))
	for i, want := range []string{"3 4 5 6 end", "end", "0 1 2 3 4 5 6 end"} {
		_, d, out := s.wire(t, nil, true, i, 3)
		if stepAll(t, d) != Done || out.String() != want {
			t.Errorf("subtask %d: got %v, want %s", i, out, want)
		}
	}
	for _, steps := range []int{0, 2} { // the next checkpoint comes before and after it has caught up
		_, d, out := s.wire(t, nil, true, 0, 2)
		for range steps {
			if _, err := d.Step(); err != nil {
				t.Fatal(err)
			}
		}
		again := subtasks{open: s.open, states: []Restored{stateOf(sourceState, 0, bytesOf(t, d.(Stateful)))}}
		_, d, rest := again.wire(t, nil, true, 0, 2)
		if stepAll(t, d) != Done || strings.Join(append(out.lines, rest.lines...), " ") != "3 4 5 6 end" {
			t.Errorf("after %d steps and another restore: got %v and %v", steps, out, rest)
		}
	}
	s.open = func(piece) (Reader[int], error) { return &plainReader{piece{0, 2}}, nil }
	_, d, _ = s.wire(t, nil, true, 0, 3)
	if err := runToEnd(t.Context(), d); err == nil || !strings.Contains(err.Error(), "has changed") {
		t.Errorf("got %v of a function that emits less than before", err)
	}
}

// TestReadingMakesRoom: while a checkpoint is announced, the splits before its barrier give their credits
// back although none of them is read.
func TestReadingMakesRoom(t *testing.T) {
	s := subtasks{open: func(piece) (Reader[int], error) { return &idle{}, nil }}
	gate := shuffle.NewGate[piece](1, mustCodec[piece](t))
	to := shuffle.NewWriter(shuffle.Rebalance[piece](), []shuffle.Output[piece]{shuffle.LocalOutput(gate, 0)},
		shuffle.WriterConfig{Context: t.Context(), Immediate: true, Credits: 1})
	w, d, _ := s.wire(t, gate, true, 0, 1)
	taken := make(chan Prepared, 1)
	w.OnCheckpoint(func(p Prepared) { taken <- p })
	go func() {
		for i := range 10 {
			if err := to.Batch([]piece{{i, i + 1}}); err != nil {
				t.Error(err)
			}
		}
		if err := to.Event(record.Event{Kind: record.Barrier, Value: 1}); err != nil {
			t.Error(err)
		}
	}()
	w.Announce(1)
	for len(taken) == 0 {
		if stepAll(t, d) == Waiting && len(taken) == 0 {
			d.Wait(t.Context(), nil)
		}
	}
	var remaining []left[piece]
	err := state.Read((<-taken).Snapshots[0].Data, mustCodec[left[piece]](t), func(v []left[piece]) error {
		remaining = append(remaining, v...)
		return nil
	})
	if err != nil || len(remaining) != 10 {
		t.Errorf("the state is %v, %v; want 10 splits", remaining, err)
	}
}

// idle is a reader that never has anything.
type idle struct{}

func (*idle) Next([]int) (int, error) { return 0, nil }
func (*idle) Ready() <-chan struct{}  { return nil }
func (*idle) Close() error            { return nil }

// TestSplitsGoOn: an enumerator that is restored hands on what comes after the checkpoint.
func TestSplitsGoOn(t *testing.T) {
	emits := func(list ...int) func(context.Context, func(int) error) error {
		return func(_ context.Context, emit func(int) error) error {
			for _, n := range list {
				if err := emit(n); err != nil {
					return err
				}
			}
			return nil
		}
	}
	more, states := make(chan bool), make(chan []byte, 1)
	waits := func(ctx context.Context, emit func(int) error) error {
		_ = emits(1, 2, 3)(ctx, emit)
		<-ctx.Done() // it looks for more, for ever
		close(more)
		return nil
	}
	w := NewWiring(t.Context(), ContextConfig{})
	w.OnCheckpoint(func(p Prepared) { states <- p.Snapshots[0].Data })
	var out journal[int]
	d := NewSplits(w, "splits", waits, &out)
	for len(out.lines) < 3 {
		if stepAll(t, d) == Waiting && len(out.lines) < 3 {
			d.Wait(t.Context(), nil)
		}
	}
	w.Announce(1)
	d.Wait(t.Context(), nil) // although list says nothing
	stepAll(t, d)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	<-more
	state := <-states
	if out.String() != "1 2 3 b1" {
		t.Fatalf("got %v", &out)
	}
	tests := []struct {
		name      string
		list      []int
		want, err string
	}{
		{"the same and more", []int{1, 2, 3, 4, 5}, "4 5 end", ""},
		{"the same", []int{1, 2, 3}, "end", ""},
		{"another", []int{1, 2, 7, 4}, "", "its split 3 was 3 and is 7"},
		{"fewer", []int{1, 2}, "", "it had at least 3 splits and has 2"},
	}
	for _, test := range tests {
		w := NewWiring(t.Context(), ContextConfig{})
		w.Restore(1, map[string][]Restored{"splits": {stateOf(sourceState, 0, state)}}, nil, nil)
		var out journal[int]
		err := runToEnd(t.Context(), NewSplits(w, "splits", emits(test.list...), &out))
		text := ""
		if err != nil {
			text = err.Error()
		}
		if out.String() != test.want || !strings.Contains(text, test.err) || (err == nil) != (test.err == "") {
			t.Errorf("%s: got %v, %v", test.name, &out, err)
		}
	}
}

// TestSplitsThatHadEnded: an enumeration that had come to its end is not begun again.
func TestSplitsThatHadEnded(t *testing.T) {
	one := func(_ context.Context, emit func(int) error) error { return emit(1) }
	w := NewWiring(t.Context(), ContextConfig{})
	if err := runToEnd(t.Context(), NewSplits(w, "splits", one, &journal[int]{})); err != nil {
		t.Fatal(err)
	}
	p, _, err := w.Final(job.CheckpointID(1))
	if err != nil {
		t.Fatal(err)
	}
	w = NewWiring(t.Context(), ContextConfig{})
	w.Restore(1, map[string][]Restored{"splits": {stateOf(sourceState, 0, p.Snapshots[0].Data)}}, nil, nil)
	var out journal[int]
	if err := runToEnd(t.Context(), NewSplits(w, "splits", one, &out)); err != nil || out.String() != "end" {
		t.Errorf("got %v, %v", &out, err)
	}
}

// runToEnd steps d to its end or an error, and closes it.
func runToEnd(ctx context.Context, d Driver) error {
	for {
		outcome, err := d.Step()
		if err != nil || outcome == Done {
			return errors.Join(err, d.Close())
		}
		if outcome == Waiting {
			d.Wait(ctx, nil)
		}
	}
}
