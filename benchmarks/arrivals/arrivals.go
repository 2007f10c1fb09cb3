// Package arrivals is a sink that writes down when records reach it, for benchmarks that ask how long
// none did. It starts no goroutine.
package arrivals

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/perennial-io/perennial/stream"
)

// Arrival is a record that reached the sink.
type Arrival struct {
	Attempt int // of the job
	At      time.Time
}

const (
	size = 16 // of an arrival in the file: the attempt, and nanoseconds since 1970
	// apart is how long after one that was written down the next one is: a burst costs one write.
	apart = 100 * time.Microsecond
)

// Sink appends to a file, for [stream.ToFunc]. Attempts may append to it at once, and whoever reads it may
// empty it.
func Sink[T any](path string) func(*stream.Context) (func(T) error, error) {
	return func(ctx *stream.Context) (func(T) error, error) {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		attempt := uint64(ctx.Attempt())
		var last time.Time
		return func(T) error {
			now := time.Now()
			if now.Sub(last) < apart {
				return nil
			}
			last = now
			_, err := f.Write(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, attempt), uint64(now.UnixNano())))
			return err
		}, err
	}
}

// Read returns what was written so far.
func Read(path string) ([]Arrival, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []Arrival
	for ; len(data) >= size; data = data[size:] {
		all = append(all, Arrival{int(binary.BigEndian.Uint64(data)), time.Unix(0, int64(binary.BigEndian.Uint64(data[8:])))})
	}
	return all, err
}
