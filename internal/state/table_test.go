package state

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
)

var hashes = map[string]func(uint64) uint64{
	"good":             func(k uint64) uint64 { return k * 0x9e3779b97f4a7c15 },
	"all in one place": func(k uint64) uint64 { return k & 7 << 32 },
}

// TestTable compares the table with a map, through several doublings, with hashes that collide and
// keys that come and go.
func TestTable(t *testing.T) {
	for name, hash := range hashes {
		t.Run(name, func(t *testing.T) {
			table, model := NewTable[uint64, int](nil), map[uint64]int{}
			keys := uint64(100_000)
			if name != "good" {
				keys = 2_000
			}
			for i := range int(keys) * 4 {
				k := rand.Uint64N(keys)
				if rand.IntN(3) == 0 {
					table.Remove(hash(k), k)
					delete(model, k)
					continue
				}
				e := table.Find(hash(k), k)
				if _, known := model[k]; known != (e != nil) {
					t.Fatalf("key %d: found %v, want %v", k, e != nil, known)
				}
				if e == nil {
					e = table.Insert(hash(k), k)
				}
				e.Value += i
				model[k] += i
			}
			compare(t, table, model)
			if table.Find(hash(keys+1), keys+1) != nil {
				t.Error("found a key that was never inserted")
			}
		})
	}
}

func compare(t *testing.T, table *Table[uint64, int], model map[uint64]int) {
	t.Helper()
	if table.Len() != len(model) {
		t.Fatalf("%d entries, want %d", table.Len(), len(model))
	}
	n := 0
	for e := range table.All() {
		n++
		if v, known := model[e.Key]; !known || v != e.Value {
			t.Fatalf("key %d: %d, want %d (%v)", e.Key, e.Value, v, known)
		}
	}
	if n != len(model) {
		t.Fatalf("%d entries came, want %d", n, len(model))
	}
}

// TestTableSnapshots: whatever comes, goes and changes while snapshots are written, each is what the
// table was.
func TestTableSnapshots(t *testing.T) {
	hash := hashes["good"]
	codec, err := record.CodecOf[Entry[uint64, []int]]()
	if err != nil {
		t.Fatal(err)
	}
	clone, err := cloner[[]int]()
	if err != nil {
		t.Fatal(err)
	}
	table, model := NewTable[uint64](clone), map[uint64][]int{}
	change := func() {
		k := rand.Uint64N(3_000)
		e := table.Find(hash(k), k)
		switch {
		case rand.IntN(4) == 0:
			table.Remove(hash(k), k)
			delete(model, k)
		case e == nil:
			table.Insert(hash(k), k).Value = []int{1}
			model[k] = []int{1}
		default:
			e.Value[0]++ // in memory that a shallow copy would share
			e.Value = append(e.Value, 7)
			model[k] = append([]int{model[k][0] + 1}, append(model[k][1:], 7)...)
		}
	}
	for range 40 {
		for range rand.IntN(4_000) {
			change()
		}
		s, want := table.Snapshot(HandleOf("lists", job.ValueState, codec), codec), map[uint64][]int{}
		for k, v := range model {
			want[k] = slices.Clone(v)
		}
		written, data := make(chan error), bytes.Buffer{}
		go func() { written <- s.Write(&data) }()
		for range rand.IntN(2_000) {
			change()
		}
		if err := <-written; err != nil {
			t.Fatal(err)
		}
		got := map[uint64][]int{}
		if err := Read(data.Bytes(), codec, func(entries []Entry[uint64, []int]) error {
			for _, e := range entries {
				got[e.Key] = e.Value
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) {
			t.Fatalf("%d entries were written, want %d", len(got), len(want))
		}
		for k, v := range want {
			if !slices.Equal(got[k], v) {
				t.Fatalf("key %d: %v, want %v", k, got[k], v)
			}
		}
	}
	table.Insert(1, 1<<40)
	table.Find(1, 1<<40)
	for e := range table.All() {
		_ = e
	}
	if table.shared != nil || table.borrowed != nil {
		t.Error("the table still copies although all snapshots are written")
	}
}
