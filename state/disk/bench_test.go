package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/state"
)

const benchKeys = 1_000_000

// counting reads and raises the count of a random key, as a keyed count does.
func counting(b *testing.B, store *state.Store[uint64]) {
	value, err := state.OpenValue[uint64, uint64](store, "value")
	if err != nil {
		b.Fatal(err)
	}
	for key := range uint64(benchKeys) {
		store.SetKey(key)
		value.Set(key)
	}
	r := rand.New(rand.NewPCG(1, 2))
	defer cpuPerOp(b)()
	b.ResetTimer()
	for range b.N {
		store.SetKey(r.Uint64N(benchKeys))
		n, _ := value.Get()
		value.Set(n + 1)
	}
}

func storeOf(b *testing.B, backend state.Backend) *state.Store[uint64] {
	keys, err := state.KeysOf[uint64](256, 0, 1)
	if err != nil {
		b.Fatal(err)
	}
	store, err := state.NewStore(keys, nil, backend)
	if err != nil {
		b.Fatal(err)
	}
	return store
}

func backendOf(b testing.TB) *backend {
	opened, err := Store(Directory(b.TempDir())).Open(state.Place{Operator: "op", Parallelism: 1, Groups: 256})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { opened.Close() })
	return opened.(*backend)
}

// BenchmarkAccess is a read and a write of one random key of a million, in each way. Raw is Pebble alone, with
// the same options, keys and values.
func BenchmarkAccess(b *testing.B) {
	b.Run("store", func(b *testing.B) { counting(b, storeOf(b, backendOf(b))) })
	b.Run("raw", func(b *testing.B) {
		db := backendOf(b).db
		sent, err := record.HasherOf[uint64]()
		if err != nil {
			b.Fatal(err)
		}
		var key, value []byte
		keyOf := func(n uint64) []byte {
			key = binary.BigEndian.AppendUint16(key[:0], uint16(record.KeyGroup(sent(n), 256)))
			key = append(append(key, "value\x00"...), 8)
			return binary.LittleEndian.AppendUint64(key, n)
		}
		valueOf := func(n uint64) []byte {
			return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(value[:0], 1), n)
		}
		for n := range uint64(benchKeys) {
			if err := db.Set(keyOf(n), valueOf(n), pebble.NoSync); err != nil {
				b.Fatal(err)
			}
		}
		r := rand.New(rand.NewPCG(1, 2))
		defer cpuPerOp(b)()
		b.ResetTimer()
		for range b.N {
			k := keyOf(r.Uint64N(benchKeys))
			v, closer, err := db.Get(k)
			if err != nil {
				b.Fatal(err)
			}
			n := binary.LittleEndian.Uint64(v[4:])
			closer.Close()
			if err := db.Set(k, valueOf(n+1), pebble.NoSync); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("memory", func(b *testing.B) { counting(b, storeOf(b, nil)) })
	b.Run("map", func(b *testing.B) {
		m := map[uint64]uint64{}
		for key := range uint64(benchKeys) {
			m[key] = key
		}
		r := rand.New(rand.NewPCG(1, 2))
		defer cpuPerOp(b)()
		b.ResetTimer()
		for range b.N {
			m[r.Uint64N(benchKeys)]++
		}
	})
}

// BenchmarkCheckpoint counts over a million keys, in two stores in turn: with an incremental checkpoint each
// so many records, as many as a subtask takes in a second or two, and without any. The metrics are medians. A
// checkpoint comes after records and not after time, so that a busy machine does not make more of them to a record.
func BenchmarkCheckpoint(b *testing.B) {
	with, without := newCounter(b), newCounter(b)
	var ratios []float64
	for range inTurn {
		without.count(b, 0)
		with.count(b, perCheckpoint)
		ratios = append(ratios, without.nanos[len(without.nanos)-1]/with.nanos[len(with.nanos)-1])
	}
	pauses := with.pauses
	for _, values := range [][]float64{with.nanos, without.nanos, pauses, ratios} {
		slices.Sort(values)
	}
	b.ReportMetric(without.nanos[inTurn/2], "cpu-ns/record-without")
	b.ReportMetric(with.nanos[inTurn/2], "cpu-ns/record-with")
	b.ReportMetric(ratios[inTurn/2], "ratio")
	b.ReportMetric(pauses[len(pauses)/2], "ms-pause-p50")
	b.ReportMetric(pauses[len(pauses)-1], "ms-pause-worst")
}

const (
	inTurn        = 8 // of records
	perSlice      = 800_000
	perCheckpoint = 200_000
)

// counter counts in one store.
type counter struct {
	backend *backend
	store   *state.Store[uint64]
	value   state.ValueState[uint64]
	r       *rand.Rand
	dir     string
	id      job.CheckpointID // of the newest checkpoint

	nanos  []float64 // of CPU time of the process to a record, by slice
	pauses []float64 // milliseconds
}

func newCounter(b *testing.B) *counter {
	c := &counter{backend: backendOf(b), dir: b.TempDir(), r: rand.New(rand.NewPCG(1, 2))}
	c.store = storeOf(b, c.backend)
	var err error
	if c.value, err = state.OpenValue[uint64, uint64](c.store, "value"); err != nil {
		b.Fatal(err)
	}
	for key := range uint64(benchKeys) {
		c.store.SetKey(key)
		c.value.Set(key)
	}
	return c
}

// count counts one slice of records, with a checkpoint after each so many; 0: none. What is to be done in the
// background for the slice is a part of it.
func (c *counter) count(b *testing.B, every int) {
	runtime.GC()
	uploads := make(chan struct{}, 1)
	uploads <- struct{}{}
	began := cpuTime()
	for i := range perSlice {
		c.store.SetKey(c.r.Uint64N(benchKeys))
		n, _ := c.value.Get()
		c.value.Set(n + 1)
		if every > 0 && i%every == every-1 {
			<-uploads
			c.checkpoint(b, uploads)
		}
	}
	<-uploads
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for m := c.backend.db.Metrics(); m.Flush.NumInProgress+m.Compact.NumInProgress > 0; m = c.backend.db.Metrics() {
		<-poll.C
	}
	c.nanos = append(c.nanos, float64(cpuTime()-began)/perSlice)
}

func (c *counter) checkpoint(b *testing.B, uploads chan<- struct{}) {
	began := time.Now()
	snapshots, err := c.store.Snapshot()
	if err != nil {
		b.Fatal(err)
	}
	c.pauses = append(c.pauses, time.Since(began).Seconds()*1e3)
	c.id++
	to := &toFiles{dir: c.dir, id: c.id, base: c.id - 1}
	go func() {
		defer func() { uploads <- struct{}{} }()
		if _, err := snapshots[len(snapshots)-1].Store(to); err != nil {
			b.Error(err)
		}
	}()
}

// cpuPerOp reports the CPU time of the process, which a busy machine changes less than the time that passes.
func cpuPerOp(b *testing.B) func() {
	began := cpuTime()
	return func() { b.ReportMetric(float64(cpuTime()-began)/float64(b.N), "cpu-ns/op") }
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// toFiles stores pieces as files, synced.
type toFiles struct {
	dir      string
	id, base job.CheckpointID
	bytes    int64
}

func (p *toFiles) Checkpoint() job.CheckpointID    { return p.id }
func (p *toFiles) Base() (job.CheckpointID, error) { return p.base, nil }

func (p *toFiles) Put(h job.StateHandle, write func(io.Writer) error) (job.StateHandle, error) {
	f, err := os.Create(fmt.Sprintf("%s/%d-%s", p.dir, p.id, h.Part))
	if err != nil {
		return h, err
	}
	defer f.Close()
	if err := write(f); err != nil {
		return h, err
	}
	at, err := f.Seek(0, io.SeekCurrent)
	p.bytes += at
	h.File = f.Name()
	return h, errors.Join(err, f.Sync())
}

// BenchmarkIncrement stores a tree of some 100 MB whole, and after 1 % of its keys were changed.
func BenchmarkIncrement(b *testing.B) {
	backend := backendOf(b)
	value := make([]byte, 100)
	r := rand.New(rand.NewPCG(1, 2))
	chacha := rand.NewChaCha8([32]byte{1})
	set := func(key uint64) {
		chacha.Read(value)
		if err := backend.Set(binary.BigEndian.AppendUint64(groupKey(int(key%256)), key), value); err != nil {
			b.Fatal(err)
		}
	}
	for key := range uint64(benchKeys) {
		set(key)
	}
	dir, id := b.TempDir(), job.CheckpointID(0)
	store := func() (ms, mb float64) {
		id++
		began := time.Now()
		snapshots, err := backend.Snapshot(nil)
		if err != nil {
			b.Fatal(err)
		}
		p := &toFiles{dir: dir, id: id, base: id - 1}
		if _, err := snapshots[0].Store(p); err != nil {
			b.Fatal(err)
		}
		return time.Since(began).Seconds() * 1e3, float64(p.bytes) / 1e6
	}
	ms, mb := store()
	b.ReportMetric(ms, "ms-full")
	b.ReportMetric(mb, "MB-full")
	var times, sizes []float64
	for range 12 {
		for range benchKeys / 100 {
			set(r.Uint64N(benchKeys))
		}
		ms, mb := store()
		times, sizes = append(times, ms), append(sizes, mb)
	}
	slices.Sort(times)
	slices.Sort(sizes)
	b.ReportMetric(times[len(times)/2], "ms-1%")
	b.ReportMetric(sizes[len(sizes)/2], "MB-1%")
	b.ReportMetric(sizes[len(sizes)-1], "MB-1%-worst")
}
