package disk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/state"
	"github.com/perennial-io/perennial/internal/state/statetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) { statetest.Run(t, Store(Directory(t.TempDir()))) }

// TestStoreInLittleMemory: memtables are full while snapshots are captured.
func TestStoreInLittleMemory(t *testing.T) {
	statetest.Run(t, Store(Directory(t.TempDir()), Budget(48<<20)))
}

const groups = 16

// counts is a store with one state.
type counts struct {
	t       *testing.T
	store   *state.Store[int]
	backend state.Backend
	value   state.ValueState[string]
}

func open(t *testing.T, opener state.Opener, restored []state.Restored, id job.CheckpointID, subtask, parallelism int) *counts {
	t.Helper()
	c, err := tryOpen(t, opener, restored, id, subtask, parallelism)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.backend.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func tryOpen(t *testing.T, opener state.Opener, restored []state.Restored, id job.CheckpointID, subtask, parallelism int) (*counts, error) {
	t.Helper()
	keys, err := state.KeysOf[int](groups, subtask, parallelism)
	if err != nil {
		return nil, err
	}
	place := state.Place{Operator: "op", Subtask: subtask, Parallelism: parallelism, Groups: groups, Checkpoint: id}
	for _, r := range restored {
		if r.Handle.Part != "" {
			place.Restored = append(place.Restored, r)
		}
	}
	c := &counts{t: t}
	if c.backend, err = opener.Open(place); err != nil {
		return nil, err
	}
	if c.store, err = state.NewStore(keys, restored, c.backend); err == nil {
		c.value, err = state.OpenValue[int, string](c.store, "value")
	}
	if err != nil {
		return nil, errors.Join(err, c.backend.Close())
	}
	return c, nil
}

func (c *counts) set(key int, value string) {
	c.store.SetKey(key)
	c.value.Set(value)
}

func (c *counts) fill(from, to int, value string) {
	for key := from; key < to; key++ {
		c.set(key, value+fmt.Sprint(key))
	}
}

// check compares keys that the subtask has with value and the key.
func (c *counts) check(from, to int, value string) (n int) {
	c.t.Helper()
	for key := from; key < to; key++ {
		c.store.SetKey(key)
		got, ok := c.value.Get()
		if ok {
			n++
		}
		if ok && got != value+fmt.Sprint(key) {
			c.t.Fatalf("key %d: %q, want %q", key, got, value)
		}
	}
	return n
}

func names(pieces []state.Restored) map[string]string {
	all := map[string]string{}
	for _, p := range pieces {
		if strings.HasSuffix(p.Handle.Part, tableSuffix) {
			all[p.Handle.Part] = p.Handle.File
		}
	}
	return all
}

func TestASnapshotBuildsOnItsBase(t *testing.T) {
	opener, u := Store(Directory(t.TempDir())), new(statetest.Uploads)
	c := open(t, opener, nil, 0, 0, 1)
	c.fill(0, 20_000, strings.Repeat("first ", 20))
	first := u.Write(t, c.store, 0, 1, 0)
	whole := u.Bytes
	c.fill(0, 100, "second ")
	second := u.Write(t, c.store, 0, 2, 1)
	if more := u.Bytes - whole; more > whole/5 {
		t.Errorf("a whole snapshot has %d bytes, one that changed a little stores %d", whole, more)
	}
	inherited := 0
	for name, file := range names(second) {
		if names(first)[name] == file && strings.HasPrefix(file, "1/") {
			inherited++
		}
	}
	if inherited == 0 {
		t.Errorf("nothing of the base is named again: %v", names(second))
	}
	again := open(t, opener, second, 2, 0, 1)
	if n := again.check(0, 100, "second ") + again.check(100, 20_000, strings.Repeat("first ", 20)); n != 20_000 {
		t.Errorf("%d of 20,000 keys", n)
	}
	// What was restored is a base too.
	before := u.Bytes
	again.fill(0, 100, "third ")
	third := u.Write(t, again.store, 0, 3, 2)
	if more := u.Bytes - before; more > whole/5 {
		t.Errorf("after a restore %d bytes are stored", more)
	}
	last := open(t, opener, third, 3, 0, 1)
	if n := last.check(0, 100, "third "); n != 100 {
		t.Errorf("%d of 100 keys", n)
	}
}

// TestOnlyABaseIsBuiltOn: neither a checkpoint that is not the base, nor one whose upload failed.
func TestOnlyABaseIsBuiltOn(t *testing.T) {
	opener, u := Store(Directory(t.TempDir())), new(statetest.Uploads)
	c := open(t, opener, nil, 0, 0, 1)
	c.fill(0, 10_000, strings.Repeat("v", 100))
	u.Write(t, c.store, 0, 1, 0)

	snapshots, err := c.store.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	failing := &failingPieces{id: 2, after: 1}
	if _, err := snapshots[len(snapshots)-1].Store(failing); !errors.Is(err, errFails) {
		t.Fatalf("%v", err)
	}
	for _, base := range []job.CheckpointID{0, 2} {
		for part, file := range names(u.Write(t, c.store, 0, 3+base, base)) {
			if !strings.HasPrefix(file, fmt.Sprintf("%d/", 3+base)) {
				t.Errorf("base %d: %s is named again as %s", base, part, file)
			}
		}
	}
}

var errFails = errors.New("the storage fails")

type failingPieces struct {
	id    job.CheckpointID
	after int
}

func (p *failingPieces) Checkpoint() job.CheckpointID    { return p.id }
func (p *failingPieces) Base() (job.CheckpointID, error) { return 0, nil }

func (p *failingPieces) Put(h job.StateHandle, _ func(io.Writer) error) (job.StateHandle, error) {
	if p.after--; p.after < 0 {
		return h, errFails
	}
	return h, nil
}

// TestASnapshotEndsWhereItWasTaken: records go on, and fill memtables, before it is captured.
func TestASnapshotEndsWhereItWasTaken(t *testing.T) {
	opener, u := Store(Directory(t.TempDir()), Budget(4<<20)), new(statetest.Uploads)
	c := open(t, opener, nil, 0, 0, 1)
	for round := range 5 {
		c.fill(0, 2_000, fmt.Sprint("before ", round, " "))
		snapshots, err := c.store.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		written := make(chan []state.Restored)
		go func() {
			written <- u.Write(t, taken(snapshots), 0, job.CheckpointID(round+1), job.CheckpointID(round))
		}()
		for i := range 20 { // 40,000 entries do not fit into a memtable
			c.fill(0, 2_000, fmt.Sprint("after ", i, " "))
		}
		again := open(t, Store(Directory(t.TempDir())), <-written, job.CheckpointID(round+1), 0, 1)
		if n := again.check(0, 2_000, fmt.Sprint("before ", round, " ")); n != 2_000 {
			t.Errorf("round %d: %d of 2,000 keys", round, n)
		}
	}
}

// taken is a store whose snapshot was taken before.
type taken []state.Snapshot

func (s taken) Snapshot() ([]state.Snapshot, error) { return s, nil }

// TestASnapshotThatIsGivenUp neither stops the store nor stays behind.
func TestASnapshotThatIsGivenUp(t *testing.T) {
	dir := t.TempDir()
	opener, u := Store(Directory(dir), Budget(4<<20)), new(statetest.Uploads)
	c, err := tryOpen(t, opener, nil, 0, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	c.fill(0, 1_000, "a ")
	early, err := c.store.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	c.fill(0, 1_000, "b ")
	pieces := u.Write(t, c.store, 0, 2, 0)
	if _, err := early[len(early)-1].Store(&failingPieces{id: 1}); !errors.Is(err, errFails) {
		t.Errorf("overtaken: %v", err)
	}
	late, err := c.store.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.backend.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := late[len(late)-1].Store(&failingPieces{id: 3}); !errors.Is(err, errFails) {
		t.Errorf("closed: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if n := open(t, opener, pieces, 2, 0, 1).check(0, 1_000, "b "); n != 1_000 {
		t.Errorf("%d of 1,000 keys", n)
	}
}

// TestAnotherParallelism reads what is needed, and no more.
func TestAnotherParallelism(t *testing.T) {
	opener := Store(Directory(t.TempDir()))
	var pieces []state.Restored
	for subtask := range 4 {
		c := open(t, opener, nil, 0, subtask, 4)
		for key := range 4_000 {
			if keys, _ := state.KeysOf[int](groups, subtask, 4); keys.Own(key) {
				c.set(key, fmt.Sprint("v ", key))
			}
		}
		mine := new(statetest.Uploads)
		pieces = append(pieces, mine.Write(t, c.store, subtask, 1, 0)...)
	}
	read := map[int]bool{}
	for i, p := range pieces {
		if open := p.Open; open != nil && p.Handle.Part != indexName {
			pieces[i].Open = func() (io.ReadCloser, error) { read[p.Subtask] = true; return open() }
		}
	}
	n := 0
	for subtask := range 2 {
		clear(read)
		n += open(t, opener, pieces, 1, subtask, 2).check(0, 4_000, "v ")
		if got, want := slices.Sorted(maps.Keys(read)), []int{2 * subtask, 2*subtask + 1}; !slices.Equal(got, want) {
			t.Errorf("subtask %d of 2 read what %v of 4 wrote, want %v", subtask, got, want)
		}
	}
	if n != 4_000 {
		t.Errorf("%d of 4,000 keys", n)
	}
}

func TestAnotherTypeIsRefused(t *testing.T) {
	opener, u := Store(Directory(t.TempDir())), new(statetest.Uploads)
	c := open(t, opener, nil, 0, 0, 1)
	c.set(1, "x")
	pieces := u.Write(t, c.store, 0, 1, 0)
	for i := range pieces {
		if pieces[i].Handle.State == "value" {
			pieces[i].Handle.Schema = "struct{Key int;Value bool}"
		}
	}
	if _, err := tryOpen(t, opener, pieces, 1, 0, 1); err == nil || !strings.Contains(err.Error(), "was written as bool") {
		t.Errorf("%v", err)
	}
}

// TestWhatCannotBeRestored fails, whatever is missing.
func TestWhatCannotBeRestored(t *testing.T) {
	dir := t.TempDir()
	opener, u := Store(Directory(dir)), new(statetest.Uploads)
	c, err := tryOpen(t, opener, nil, 0, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	c.fill(0, 1_000, "v ")
	pieces := u.Write(t, c.store, 0, 1, 0)
	if err := c.backend.Close(); err != nil {
		t.Fatal(err)
	}
	errBroken := errors.New("broken")
	for i, p := range pieces {
		if p.Handle.Part == "" {
			continue
		}
		without := slices.Delete(slices.Clone(pieces), i, i+1)
		broken := slices.Clone(pieces)
		broken[i].Open = func() (io.ReadCloser, error) { return nil, errBroken }
		for _, parallelism := range []int{1, 2} {
			if _, err := tryOpen(t, opener, without, 1, 0, parallelism); err == nil {
				t.Errorf("it was restored without %s", p.Handle.Part)
			}
			if _, err := tryOpen(t, opener, broken, 1, 0, parallelism); !errors.Is(err, errBroken) {
				t.Errorf("%s cannot be read: %v", p.Handle.Part, err)
			}
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestDirectoriesOfTheDeadAreRemoved(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "a [pattern") // to some
	dead, alive, other := filepath.Join(parent, directoryPrefix+"1"), filepath.Join(parent, directoryPrefix+"2"), filepath.Join(parent, "other")
	for _, dir := range []string{dead, alive, other} {
		if err := os.MkdirAll(filepath.Join(dir, "1"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	lock, err := vfs.Default.Lock(filepath.Join(alive, lockName))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	d, err := makeDirectory(parent)
	if err != nil {
		t.Fatal(err)
	}
	second, err := makeDirectory(parent)
	if err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{dead: false, alive: true, other: true, d.path: true, second.path: true} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if err := errors.Join(d.remove(), second.remove()); err != nil {
		t.Error(err)
	}
}

func TestABudgetThatIsTooSmall(t *testing.T) {
	if _, err := tryOpen(t, Store(Directory(t.TempDir()), Budget(100)), nil, 0, 0, 1); err == nil || !strings.Contains(err.Error(), "budget of 100 bytes") {
		t.Errorf("%v", err)
	}
}

func FuzzIndex(f *testing.F) {
	b, err := json.Marshal(index{Version: 1, Parallelism: 1, Groups: 16, Files: []file{{Name: "000001.sst", Last: 3}}, Rest: map[string][]byte{"MANIFEST-000001": {1}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"version":1,"parallelism":1,"groups":1,"files":[{"name":"../x.sst"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := parseIndex(b)
		if err != nil {
			return
		}
		for _, name := range slices.Concat(slices.Collect(maps.Keys(x.Rest)), fileNames(x.Files)) {
			if filepath.Join("/d", name) != "/d/"+name || strings.ContainsAny(name, `/\`) {
				t.Errorf("%q leads elsewhere", name)
			}
		}
	})
}

func fileNames(files []file) (all []string) {
	for _, f := range files {
		all = append(all, f.Name)
	}
	return all
}
