package record

import (
	"encoding/binary"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/zeebo/xxh3"
)

func hasherOf[K comparable](t testing.TB) func(K) uint64 {
	t.Helper()
	h, err := HasherOf[K]()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

type compositeKey struct {
	User string
	Day  int32
}

type flatKey struct {
	A uint64
	B [12]byte
	C uint32
}

// TestHashes pins hashes: a key must keep its key group for the life of a job's state.
func TestHashes(t *testing.T) {
	for name, c := range map[string]struct{ got, want uint64 }{
		"string":  {hasherOf[string](t)("perennial"), xxh3.HashString("perennial")},
		"int":     {hasherOf[int](t)(-3), xxh3.Hash(binary.LittleEndian.AppendUint64(nil, ^uint64(2)))},
		"int64":   {hasherOf[int64](t)(1 << 40), xxh3.Hash(binary.LittleEndian.AppendUint64(nil, 1<<40))},
		"uint32":  {hasherOf[uint32](t)(77), xxh3.Hash(binary.LittleEndian.AppendUint32(nil, 77))},
		"int16":   {hasherOf[int16](t)(-2), xxh3.Hash([]byte{0xfe, 0xff})},
		"uint8":   {hasherOf[uint8](t)(200), xxh3.Hash([]byte{200})},
		"bool":    {hasherOf[bool](t)(true), xxh3.Hash([]byte{1})},
		"flat":    {hasherOf[flatKey](t)(flatKey{1, [12]byte{2}, 3}), xxh3.Hash([]byte{1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0})},
		"struct":  {hasherOf[compositeKey](t)(compositeKey{"ab", 5}), xxh3.Hash([]byte{2, 'a', 'b', 5, 0, 0, 0})},
		"pinned":  {hasherOf[int](t)(42), 0xd5a6f8c838df27c8},
		"pinned2": {hasherOf[string](t)("word"), 0xe3ce369cf66c5c55},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %#x, expected %#x", name, c.got, c.want)
		}
	}
}

func TestHashOfNumbersIsXXH3(t *testing.T) {
	h64, h32 := hasherOf[uint64](t), hasherOf[int32](t)
	for v := uint64(1); v != 0; v = v * 3 & (1<<62 - 1) {
		if got, want := h64(v), xxh3.Hash(binary.LittleEndian.AppendUint64(nil, v)); got != want {
			t.Fatalf("%d: got %#x, expected %#x", v, got, want)
		}
		if got, want := h32(int32(v)), xxh3.Hash(binary.LittleEndian.AppendUint32(nil, uint32(v))); got != want {
			t.Fatalf("%d: got %#x, expected %#x", v, got, want)
		}
		if v > 1<<60 {
			break
		}
	}
}

// TestEqualKeysHashAlike holds a == b against hash(a) == hash(b).
func TestEqualKeysHashAlike(t *testing.T) {
	type floats struct {
		A float32
		B complex128
		_ uint32
		C uint64
	}
	minus := math.Copysign(0, -1)
	hf := hasherOf[floats](t)
	if a, b := hf(floats{A: float32(minus), B: complex(minus, minus), C: 1}), hf(floats{C: 1}); a != b {
		t.Error("-0 and 0 are equal and hash differently")
	}
	h := hasherOf[float64](t)
	if h(minus) != h(0) || h(math.NaN()) != h(-math.NaN()) || h(1) == h(2) {
		t.Error("hash of a float64")
	}
	utc := time.Unix(7, 0).UTC()
	if ht := hasherOf[time.Time](t); ht(utc) != ht(time.Unix(7, 0).In(time.UTC)) || ht(utc) == ht(utc.Add(1)) {
		t.Error("hash of a time")
	}
	if ha := hasherOf[netip.Addr](t); ha(netip.MustParseAddr("::1")) != ha(netip.IPv6Loopback()) {
		t.Error("hash of an address")
	}
}

func TestRefusedKeys(t *testing.T) {
	type key struct{ P *int }
	_, err := HasherOf[key]()
	if err == nil || !strings.HasPrefix(err.Error(), "type record.key cannot be a key: field P is a *int, and is equal to itself only") {
		t.Errorf("got %v", err)
	}
	if _, err := HasherOf[chan int](); err == nil {
		t.Error("a channel is no key")
	}
	if _, err := HasherOf[any](); err == nil {
		t.Error("an interface is no key")
	}
}

func TestHasherAllocations(t *testing.T) {
	number, word, flat, composite := hasherOf[int](t), hasherOf[string](t), hasherOf[flatKey](t), hasherOf[compositeKey](t)
	key := compositeKey{strings.Repeat("u", 300), 1}
	var sum uint64
	if got := testing.AllocsPerRun(100, func() {
		sum += number(1) + word(key.User) + flat(flatKey{A: sum}) + composite(key)
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func TestOwner(t *testing.T) {
	for _, c := range []struct {
		max, parallelism int
		want             []int // groups of each subtask
	}{
		{4, 1, []int{4}},
		{4, 4, []int{1, 1, 1, 1}},
		{128, 3, []int{43, 43, 42}},
		{10, 4, []int{3, 2, 3, 2}},
	} {
		got, last := make([]int, c.parallelism), 0
		for g := range c.max {
			owner := Owner(g, c.max, c.parallelism)
			if owner < last {
				t.Errorf("max %d: group %d belongs to %d after %d", c.max, g, owner, last)
			}
			last = owner
			got[owner]++
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("max %d: got %v groups, expected %v", c.max, got, c.want)
				break
			}
		}
	}
	if g := KeyGroup(math.MaxUint64, 128); g != 127 {
		t.Errorf("key group %d", g)
	}
}

func TestBatchSize(t *testing.T) {
	for _, c := range []struct{ got, want int }{
		{BatchSize[uint8](), 1024}, {BatchSize[struct{}](), 1024}, {BatchSize[[7]int64](), 292}, {BatchSize[[4096]byte](), 16},
	} {
		if c.got != c.want {
			t.Errorf("got %d, expected %d", c.got, c.want)
		}
	}
}
