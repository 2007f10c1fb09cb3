// Package statetest is what every store of keyed state promises, as tests: in memory, and in each
// kind of [state.Backend]. It is for tests alone.
package statetest

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/state"
)

const groups = 16

// Run runs the suite on stores with the backends that open opens; a nil Opener is memory.
func Run(t *testing.T, open state.Opener) {
	suite := suite{open}
	t.Run("model", suite.model)
	t.Run("rescale", suite.rescale)
	t.Run("snapshot while records go on", suite.concurrent)
	t.Run("time to live", suite.ttl)
	t.Run("sweep", suite.sweep)
	t.Run("sweep of an active key", suite.trim)
	t.Run("timers set anew", suite.anew)
	t.Run("names", suite.names)
	t.Run("no key", suite.noKey)
}

type suite struct{ opener state.Opener }

// states is a store with one state of each kind.
type states struct {
	store *state.Store[string]
	value state.ValueState[pair]
	list  state.ListState[string]
	table state.MapState[int, []byte]
	timer *state.Timers[string]
}

type pair struct {
	N    int64
	Text string
}

func (s suite) store(t *testing.T, restored []state.Restored, subtask, parallelism int) *state.Store[string] {
	t.Helper()
	keys, err := state.KeysOf[string](groups, subtask, parallelism)
	if err != nil {
		t.Fatal(err)
	}
	var backend state.Backend
	if s.opener != nil {
		place := state.Place{Operator: "suite", Subtask: subtask, Parallelism: parallelism, Groups: groups}
		for _, r := range restored {
			if r.Handle.Part != "" {
				place.Restored = append(place.Restored, r)
			}
		}
		if backend, err = s.opener.Open(place); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := backend.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	store, err := state.NewStore(keys, restored, backend)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func (s suite) open(t *testing.T, restored []state.Restored, subtask, parallelism int) *states {
	t.Helper()
	st := &states{store: s.store(t, restored, subtask, parallelism)}
	var errs [4]error
	st.value, errs[0] = state.OpenValue[string, pair](st.store, "value")
	st.list, errs[1] = state.OpenList[string, string](st.store, "list")
	st.table, errs[2] = state.OpenMap[string, int, []byte](st.store, "map")
	st.timer, errs[3] = state.OpenTimers(st.store, "timers")
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return st
}

// model is what the states should say.
type model struct {
	value map[string]pair
	list  map[string][]string
	table map[string]map[int]string
	timer map[string]map[int64]bool
}

func newModel() *model {
	return &model{map[string]pair{}, map[string][]string{}, map[string]map[int]string{}, map[string]map[int64]bool{}}
}

func (m *model) clone() *model {
	c := newModel()
	maps.Copy(c.value, m.value)
	for k, v := range m.list {
		c.list[k] = slices.Clone(v)
	}
	for k, v := range m.table {
		c.table[k] = maps.Clone(v)
	}
	for k, v := range m.timer {
		c.timer[k] = maps.Clone(v)
	}
	return c
}

// change makes one change to both.
func change(st *states, m *model, key string) {
	st.store.SetKey(strings.Clone(key))
	n := rand.IntN(20)
	switch rand.IntN(10) {
	case 0:
		st.value.Clear()
		delete(m.value, key)
	case 1, 2:
		old, _ := st.value.Get()
		v := pair{old.N + 1, fmt.Sprint("text ", n)}
		st.value.Set(v)
		m.value[key] = v
	case 3, 4:
		v := fmt.Sprint("element ", n)
		st.list.Add(v)
		m.list[key] = append(m.list[key], v)
	case 5:
		list := make([]string, n%4)
		st.list.Set(list)
		if m.list[key] = slices.Clone(list); len(list) == 0 {
			delete(m.list, key)
		}
	case 6, 7:
		st.table.Set(n, []byte(fmt.Sprint("of ", n)))
		if m.table[key] == nil {
			m.table[key] = map[int]string{}
		}
		m.table[key][n] = fmt.Sprint("of ", n)
	case 8:
		if st.table.Delete(n); n == 0 {
			st.table.Clear()
			clear(m.table[key])
		}
		if delete(m.table[key], n); len(m.table[key]) == 0 {
			delete(m.table, key)
		}
	case 9:
		if n%4 == 0 {
			st.timer.Delete(int64(n / 4))
			delete(m.timer[key], int64(n/4))
			break
		}
		st.timer.Set(int64(n))
		if m.timer[key] == nil {
			m.timer[key] = map[int64]bool{}
		}
		m.timer[key][int64(n)] = true
	}
}

// check compares all that the states say of a key; timers are compared by firing them.
func check(t *testing.T, st *states, m *model, key string) {
	t.Helper()
	st.store.SetKey(key)
	v, ok := st.value.Get()
	if want, known := m.value[key]; ok != known || v != want {
		t.Fatalf("value of %q: %v, %v; want %v, %v", key, v, ok, want, known)
	}
	if got := slices.Collect(st.list.All()); !slices.Equal(got, m.list[key]) || st.list.Len() != len(got) {
		t.Fatalf("list of %q: %q, want %q", key, got, m.list[key])
	}
	got := map[int]string{}
	for k, v := range st.table.All() {
		got[k] = string(v)
	}
	if !maps.Equal(got, m.table[key]) || st.table.Len() != len(got) {
		t.Fatalf("map of %q: %v, want %v", key, got, m.table[key])
	}
	for n := range 20 {
		v, ok := st.table.Get(n)
		if want, known := m.table[key][n]; ok != known || string(v) != want {
			t.Fatalf("map of %q at %d: %q, %v; want %q, %v", key, n, v, ok, want, known)
		}
	}
}

// fire takes out all timers.
func fire(st *states, fired map[string]map[int64]bool) {
	for last := int64(-1); ; {
		at, ok := st.timer.Pop(1 << 40)
		if !ok {
			return
		}
		if at < last {
			panic("timers are out of order")
		}
		last = at
		if fired[st.store.Key()][at] {
			panic("a timer fires twice")
		}
		if fired[st.store.Key()] == nil {
			fired[st.store.Key()] = map[int64]bool{}
		}
		fired[st.store.Key()][at] = true
	}
}

func checkTimers(t *testing.T, fired map[string]map[int64]bool, m *model) {
	t.Helper()
	for key, want := range m.timer {
		if !maps.Equal(fired[key], want) {
			t.Fatalf("timers of %q: %v, want %v", key, fired[key], want)
		}
	}
}

func keys(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprint("key ", i)
	}
	return list
}

func (s suite) model(t *testing.T) {
	st, m, keys := s.open(t, nil, 0, 1), newModel(), keys(300)
	for range 20_000 {
		change(st, m, keys[rand.IntN(len(keys))])
	}
	for _, k := range keys {
		check(t, st, m, k)
	}
	fired := map[string]map[int64]bool{}
	fire(st, fired)
	checkTimers(t, fired, m)
}

// rescale writes with so many subtasks, and goes on with others.
func (s suite) rescale(t *testing.T) {
	m, keys := newModel(), keys(300)
	var restored []state.Restored
	for _, parallelism := range []int{2, 3, 1, 2} {
		var all []*states
		for i := range parallelism {
			all = append(all, s.open(t, restored, i, parallelism))
		}
		restored = nil
		for range 5_000 {
			key := keys[rand.IntN(len(keys))]
			change(all[owner(t, key, parallelism)], m, key)
		}
		for _, k := range keys {
			check(t, all[owner(t, k, parallelism)], m, k)
		}
		for i, st := range all {
			restored = append(restored, Write(t, st.store, i)...)
		}
	}
	last := s.open(t, restored, 0, 1)
	for _, k := range keys {
		check(t, last, m, k)
	}
	fired := map[string]map[int64]bool{}
	fire(last, fired)
	checkTimers(t, fired, m)
}

func owner(t *testing.T, key string, parallelism int) int {
	for i := range parallelism {
		if keys, err := state.KeysOf[string](groups, i, parallelism); err != nil {
			t.Fatal(err)
		} else if keys.Own(key) {
			return i
		}
	}
	t.Fatalf("nobody owns %q", key)
	return 0
}

// Write writes a snapshot of the store, and returns it as the pieces that are restored.
func Write[K comparable](t *testing.T, s *state.Store[K], subtask int) []state.Restored {
	t.Helper()
	return new(Uploads).Write(t, s, subtask, 1, 0)
}

func write(t *testing.T, snapshots []state.Snapshot, subtask int) (pieces []state.Restored) {
	return new(Uploads).write(t, snapshots, subtask, 1, 0)
}

// Uploads is where snapshots are written in tests; several of one store may build on each other.
type Uploads struct {
	Put   int // pieces that were put, of stores that write several
	Bytes int // of them
	Fail  error
	files map[string][]byte
}

// Write writes a snapshot of the store for the checkpoint, which may build on the base, and returns it as the
// pieces that are restored.
func (u *Uploads) Write(t *testing.T, s interface {
	Snapshot() ([]state.Snapshot, error)
}, subtask int, id, base job.CheckpointID) []state.Restored {
	t.Helper()
	snapshots, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return u.write(t, snapshots, subtask, id, base)
}

func (u *Uploads) write(t *testing.T, snapshots []state.Snapshot, subtask int, id, base job.CheckpointID) (pieces []state.Restored) {
	for _, snapshot := range snapshots {
		switch {
		case snapshot.Store != nil:
			handles, err := snapshot.Store(upload{u, id, base})
			if err != nil {
				t.Error(err)
			}
			for _, h := range handles {
				open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(u.files[h.File])), nil }
				pieces = append(pieces, state.Restored{Handle: h, Subtask: subtask, Open: open})
			}
		case snapshot.Write != nil:
			var b bytes.Buffer
			if err := snapshot.Write(&b); err != nil {
				t.Error(err)
			}
			snapshot.Data = b.Bytes()
			fallthrough
		default:
			pieces = append(pieces, state.Restored{Handle: snapshot.Handle, Subtask: subtask, Data: snapshot.Data})
		}
	}
	return pieces
}

type upload struct {
	*Uploads
	id, base job.CheckpointID
}

func (u upload) Checkpoint() job.CheckpointID    { return u.id }
func (u upload) Base() (job.CheckpointID, error) { return u.base, nil }

func (u upload) Put(h job.StateHandle, write func(io.Writer) error) (job.StateHandle, error) {
	if u.Fail != nil {
		return h, u.Fail
	}
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return h, err
	}
	if u.files == nil {
		u.files = map[string][]byte{}
	}
	h.File, h.Size = fmt.Sprintf("%d/%s", u.id, h.Part), int64(b.Len())
	u.files[h.File] = b.Bytes()
	u.Uploads.Put++
	u.Bytes += b.Len()
	return h, nil
}

// concurrent writes snapshots in another goroutine: each is what the store was.
func (s suite) concurrent(t *testing.T) {
	st, m, keys := s.open(t, nil, 0, 1), newModel(), keys(2_000)
	for range 8 {
		for range 3_000 {
			change(st, m, keys[rand.IntN(len(keys))])
		}
		snapshots, err := st.store.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		then := m.clone()
		written := make(chan []state.Restored)
		go func() { written <- write(t, snapshots, 0) }()
		for range 3_000 {
			change(st, m, keys[rand.IntN(len(keys))])
		}
		again := s.open(t, <-written, 0, 1)
		for _, k := range keys {
			check(t, again, then, k)
		}
		fired := map[string]map[int64]bool{}
		fire(again, fired)
		checkTimers(t, fired, then)
	}
}

func (s suite) ttl(t *testing.T) {
	store := s.store(t, nil, 0, 1)
	value, err := state.OpenValueTTL[string, int](store, "value", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	list, err := state.OpenListTTL[string, int](store, "list", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	table, err := state.OpenMapTTL[string, int, int](store, "map", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	at := func(ms int64) { store.SetTime(ms); store.SetKey("k") }
	at(10_000)
	value.Set(1)
	list.Add(1)
	table.Set(1, 1)
	at(10_500)
	list.Add(2)
	table.Set(2, 2)
	says := func(wantValue bool, wantList, wantMap int) {
		t.Helper()
		if _, ok := value.Get(); ok != wantValue || list.Len() != wantList || table.Len() != wantMap {
			t.Fatalf("value %v, list %d, map %d; want %v, %d, %d", ok, list.Len(), table.Len(), wantValue, wantList, wantMap)
		}
	}
	at(10_999)
	says(true, 2, 2)
	at(11_000)
	says(false, 1, 1)
	if _, ok := table.Get(1); ok {
		t.Error("a map has a value that is over")
	}
	at(11_500)
	says(false, 0, 0)
	value.Set(2)
	says(true, 0, 0)
}

// sweep removes what nobody asks for.
func (s suite) sweep(t *testing.T) {
	store := s.store(t, nil, 0, 1)
	value, err := state.OpenValueTTL[string, int](store, "value", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	list, err := state.OpenListTTL[string, int](store, "list", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	table, err := state.OpenMapTTL[string, int, int](store, "map", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1_000 {
		store.SetTime(int64(i))
		store.SetKey(fmt.Sprint("key ", i))
		value.Set(i)
		list.Add(i)
		table.Set(i, i)
	}
	size := func() (n int) {
		for _, r := range Write(t, store, 0) {
			n += len(r.Data) + int(r.Handle.Size)
		}
		return n
	}
	store.SetTime(1_500) // half of them are over
	for i := range 5_000 {
		store.Sweep(1 + i%3)
	}
	left := 0
	for i := range 1_000 {
		store.SetTime(0) // nothing is over, unless it was swept
		store.SetKey(fmt.Sprint("key ", i))
		_, ok := value.Get()
		if want := i > 500; ok != want || list.Len() == 1 != want || table.Len() == 1 != want {
			t.Fatalf("key %d: %v, %d, %d; want %v", i, ok, list.Len(), table.Len(), want)
		}
		if ok {
			left++
		}
	}
	if left != 499 || size() == 0 {
		t.Errorf("%d are left, in %d bytes", left, size())
	}
}

// trim removes what is over of keys that go on.
func (s suite) trim(t *testing.T) {
	store := s.store(t, nil, 0, 1)
	list, err := state.OpenListTTL[string, int](store, "list", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	table, err := state.OpenMapTTL[string, int, int](store, "map", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1_000 {
		store.SetTime(int64(i * 100))
		store.SetKey("k")
		list.Add(i)
		table.Set(i, i)
		store.ClearKey()
		store.Sweep(64)
	}
	store.SetTime(0) // nothing is over, unless it was swept
	store.SetKey("k")
	if list.Len() > 100 || table.Len() > 100 {
		t.Errorf("%d of a list and %d of a map are left, although 10 are alive", list.Len(), table.Len())
	}
}

// anew deletes and sets timers: each that is left fires once.
func (s suite) anew(t *testing.T) {
	st := s.open(t, nil, 0, 1)
	for i := range 10_000 {
		st.store.SetKey(fmt.Sprint("key ", i%3))
		if i >= 3 {
			st.timer.Delete(int64(i - 3))
		}
		st.timer.Set(int64(i))
	}
	fired := map[string]map[int64]bool{}
	fire(st, fired)
	for i := 9_997; i < 10_000; i++ {
		if key := fmt.Sprint("key ", i%3); len(fired[key]) != 1 || !fired[key][int64(i)] {
			t.Errorf("%q: %v, want %d", key, fired[key], i)
		}
	}
	st.store.SetKey("k")
	st.timer.Set(1)
	st.timer.DropAll()
	if _, ok := st.timer.Pop(1 << 40); ok {
		t.Error("a timer fires that was dropped")
	}
	again := s.open(t, Write(t, st.store, 0), 0, 1)
	if _, ok := again.timer.Next(); ok {
		t.Error("a timer is restored that was dropped")
	}
}

func (s suite) names(t *testing.T) {
	st := s.open(t, nil, 0, 1)
	if _, err := state.OpenList[string, int](st.store, "value"); err == nil || !strings.Contains(err.Error(), "there twice") {
		t.Errorf("a name twice: %v", err)
	}
	if _, err := state.OpenValue[string, int](st.store, ""); err == nil {
		t.Error("no name is a name")
	}
	if _, err := state.OpenValue[string, chan int](st.store, "channels"); err == nil {
		t.Error("a channel can be kept")
	}
	st.store.SetKey("k")
	st.list.Add("v")
	pieces := Write(t, st.store, 0)
	for i := range pieces {
		if pieces[i].Handle.State == "timers" {
			pieces[i].Handle.State = "other"
		}
	}
	store := s.store(t, pieces, 0, 1)
	if _, err := state.OpenMap[string, int, int](store, "other"); err == nil || !strings.Contains(err.Error(), "was written as") {
		t.Errorf("another kind: %v", err)
	}
}

func (s suite) noKey(t *testing.T) {
	st := s.open(t, nil, 0, 1)
	st.store.SetKey("k")
	st.value.Set(pair{N: 1})
	st.store.ClearKey()
	defer func() {
		if f, ok := recover().(state.Failure); !ok || !strings.Contains(f.Error(), `"value"`) {
			t.Errorf("got %v, want a Failure that names the state", f)
		}
	}()
	st.value.Get()
}
