package record

import "testing"

// BenchmarkCodec encodes and decodes batches. ns/op is per record.
func BenchmarkCodec(b *testing.B) {
	b.Run("plain", func(b *testing.B) { benchmarkCodec(b, [7]uint64{1, 2, 3}) })
	b.Run("padded", func(b *testing.B) { benchmarkCodec(b, padded{1, 2, 3}) })
	b.Run("string", func(b *testing.B) { benchmarkCodec(b, "perennial") })
	b.Run("keyed", func(b *testing.B) { benchmarkCodec(b, compositeKey{"perennial", 1}) })
	b.Run("nested", func(b *testing.B) {
		benchmarkCodec(b, everything{S: "s", Strings: []string{"a"}, Plain: make([]numbers, 1), Map: map[string][]int{"k": {1}}})
	})
}

func benchmarkCodec[T any](b *testing.B, v T) {
	c := codecOf[T](b)
	records := make([]T, BatchSize[T]())
	for i := range records {
		records[i] = v
	}
	var frame []byte
	decoded := make([]T, len(records))
	b.ReportAllocs()
	for n := 0; n < b.N; n += len(records) {
		frame = c.Append(frame[:0], records)
		if _, err := c.Decode(frame, decoded); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHasher hashes one key per operation.
func BenchmarkHasher(b *testing.B) {
	b.Run("uint64", func(b *testing.B) { benchmarkHasher(b, uint64(7)) })
	b.Run("string", func(b *testing.B) { benchmarkHasher(b, "perennial") })
	b.Run("flat", func(b *testing.B) { benchmarkHasher(b, flatKey{A: 1}) })
	b.Run("composite", func(b *testing.B) { benchmarkHasher(b, compositeKey{"perennial", 1}) })
}

func benchmarkHasher[K comparable](b *testing.B, key K) {
	h := hasherOf[K](b)
	var sum uint64
	for b.Loop() {
		sum += h(key)
	}
	_ = sum
}
