package record

import "unsafe"

const (
	batchBytes = 16 << 10 // in memory: some batches per channel stay within a core's cache
	batchLeast = 16
	batchMost  = 1024
)

// BatchSize is how many records of type T travel together: as many as take about 16 KiB in
// memory, at least 16 and at most 1024. What a record points to is not counted.
func BatchSize[T any]() int {
	var zero T
	size := int(unsafe.Sizeof(zero))
	if size == 0 {
		return batchMost
	}
	return min(max(batchBytes/size, batchLeast), batchMost)
}
