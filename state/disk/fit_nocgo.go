//go:build !cgo

package disk

// outsideHeap: Pebble's caches and memtables are Go's memory, like all else.
const outsideHeap = false
