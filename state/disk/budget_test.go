package disk

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/internal/state"
)

// TestTheBudgetIsKept writes and reads a state that is ten times as large as the budget. The slack is for what is not cached:
// the buffers of flushes and compactions, the indexes of open files, and what the collector has not taken yet.
func TestTheBudgetIsKept(t *testing.T) {
	if raceDetector {
		t.Skip("what the process has in memory is the race detector's for the most part")
	}
	const budget, slack = 16 << 20, 16 << 20
	backends := make([]*backend, 4) // share it
	opener := Store(Directory(t.TempDir()), Budget(budget))
	before := inUse(t)
	for i := range backends {
		backends[i] = openAt(t, opener, i, len(backends))
	}
	value, r := make([]byte, 1000), rand.NewChaCha8([32]byte{1}) // does not compress
	most, n := 0, 0
	for key := range uint64(10 * budget / len(value)) {
		b := backends[key%4]
		r.Read(value)
		k := binary.BigEndian.AppendUint64(groupKey(b.first), key)
		if err := b.Set(k, value); err != nil {
			t.Fatal(err)
		}
		k = binary.BigEndian.AppendUint64(groupKey(b.first), key%4+4*(r.Uint64()%(key/4+1))) // an earlier one
		if _, found, err := b.Get(k); err != nil || !found {
			t.Fatalf("key %x: %v, %v", k, found, err)
		}
		if n++; n%4000 == 0 {
			most = max(most, inUse(t)-before)
		}
	}
	size := int64(0)
	for _, b := range backends {
		m := b.db.Metrics()
		size += m.Total().TablesSize
	}
	t.Logf("%d MB of state, at most %d MB in use with a budget of %d MB", size>>20, most>>20, budget>>20)
	if size < 9*budget {
		t.Errorf("only %d bytes of state", size)
	}
	if most > budget+slack {
		t.Errorf("%d bytes are in use, the budget is %d", most, budget)
	}
}

// inUse is what the process has in memory, without garbage: Pebble's memory need not be in the heap.
func inUse(t *testing.T) int {
	debug.FreeOSMemory()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("only Linux tells")
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func openAt(t *testing.T, opener state.Opener, subtask, parallelism int) *backend {
	opened, err := opener.Open(state.Place{Operator: "op", Subtask: subtask, Parallelism: parallelism, Groups: groups})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := opened.Close(); err != nil {
			t.Error(err)
		}
	})
	return opened.(*backend)
}
