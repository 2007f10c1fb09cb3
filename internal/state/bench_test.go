package state_test

import (
	"testing"

	"github.com/perennial-io/perennial/internal/state"
)

const benchKeys = 1 << 20

func scattered(i int) uint64 { return uint64(i) * 0x9e3779b97f4a7c15 >> 20 % benchKeys }

// BenchmarkMap adds to the value of a key in a Go map: what BenchmarkValue is to be compared with.
func BenchmarkMap(b *testing.B) {
	m := map[uint64]uint64{}
	for i := range benchKeys {
		m[uint64(i)] = 0
	}
	b.ResetTimer()
	for i := range b.N {
		k := scattered(i)
		n, ok := m[k]
		if !ok {
			n = 1
		}
		m[k] = n + 1
	}
}

// BenchmarkValue adds to the value of a key as a user's function does.
func BenchmarkValue(b *testing.B) {
	keys, err := state.KeysOf[uint64](256, 0, 1)
	if err != nil {
		b.Fatal(err)
	}
	store, err := state.NewStore(keys, nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	value, err := state.OpenValue[uint64, uint64](store, "sum")
	if err != nil {
		b.Fatal(err)
	}
	for i := range benchKeys {
		store.SetKey(uint64(i))
		value.Set(0)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		store.SetKey(scattered(i))
		n, ok := value.Get()
		if !ok {
			n = 1
		}
		value.Set(n + 1)
	}
}
