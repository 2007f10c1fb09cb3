package shuffle

import "github.com/perennial-io/perennial/internal/record"

type partitioning uint8

const (
	forward partitioning = iota
	hash
	rebalance
	broadcast
)

// Partitioner tells which of a writer's outputs receives a record.
type Partitioner[T any] struct {
	partitioning partitioning
	// groups writes each record's key group. Of hash only.
	groups func(records []T, groups []uint32)
	// max is the number of key groups.
	max int
}

// Forward sends every record to the one output that the writer has.
func Forward[T any]() Partitioner[T] { return Partitioner[T]{partitioning: forward} }

// Rebalance sends each batch to the output whose buffer became free first: in turn while all keep
// up, and to whoever has room otherwise.
func Rebalance[T any]() Partitioner[T] { return Partitioner[T]{partitioning: rebalance} }

// Broadcast sends every record to every output. Each gets a copy of the record; what
// the record refers to is shared inside a process.
func Broadcast[T any]() Partitioner[T] { return Partitioner[T]{partitioning: broadcast} }

// Hash sends a record to the output that owns the key group of its hash, of max key groups.
func Hash[T any](hashOf func(T) uint64, max int) Partitioner[T] {
	n := uint64(max)
	return Partitioner[T]{partitioning: hash, max: max, groups: func(records []T, groups []uint32) {
		for i := range records {
			groups[i] = uint32(hashOf(records[i]) % n)
		}
	}}
}

// HashBy sends a record to the output that owns its key's group. hashOf comes from
// record.HasherOf and belongs to this partitioner.
func HashBy[T any, K comparable](key func(T) K, hashOf func(K) uint64, max int) Partitioner[T] {
	n := uint64(max)
	if n&(n-1) == 0 {
		return Partitioner[T]{partitioning: hash, max: max, groups: func(records []T, groups []uint32) {
			for i := range records {
				groups[i] = uint32(hashOf(key(records[i])) & (n - 1))
			}
		}}
	}
	return Hash(func(r T) uint64 { return hashOf(key(r)) }, max)
}

// owners maps key groups to outputs.
func owners(max, outs int) []uint32 {
	table := make([]uint32, max)
	for g := range table {
		table[g] = uint32(record.Owner(g, max, outs))
	}
	return table
}
