//go:build cgo

package disk

// outsideHeap: Pebble's caches and memtables are C's memory.
const outsideHeap = true
