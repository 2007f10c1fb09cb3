package operator

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
)

// A state is written as a list of values: magic, then frames, each its length (4 bytes, little
// endian) and a batch of the values' codec, then a frame of length 0. The last one tells a state
// that ends from one that was cut off.

const (
	magic     = "PST\x01" // the last byte is the version of the format
	frameSize = 256 << 10 // a frame ends behind the value that reaches it
)

var errMalformedState = errors.New("malformed state")

// frames writes a state.
type frames[T any] struct {
	to    io.Writer
	codec *record.Codec[T]
	buf   []byte
}

func newFrames[T any](to io.Writer, codec *record.Codec[T]) (*frames[T], error) {
	_, err := io.WriteString(to, magic)
	return &frames[T]{to: to, codec: codec}, err
}

func (f *frames[T]) write(values []T) error {
	for len(values) > 0 {
		buf, n, err := f.codec.AppendUpTo(append(f.buf[:0], 0, 0, 0, 0), values, frameSize)
		if err != nil {
			return err
		}
		if len(buf)-4 > math.MaxUint32 {
			return fmt.Errorf("a value of %d bytes is too large for a state", len(buf))
		}
		binary.LittleEndian.PutUint32(buf, uint32(len(buf)-4))
		if _, err := f.to.Write(buf); err != nil {
			return err
		}
		f.buf, values = buf, values[n:]
	}
	return nil
}

func (f *frames[T]) end() error {
	_, err := f.to.Write([]byte{0, 0, 0, 0})
	return err
}

// snapshotOf returns a small state.
func snapshotOf[T any](state string, kind job.StateKind, codec *record.Codec[T], values []T) ([]Snapshot, error) {
	var buf bytes.Buffer
	f, err := newFrames(&buf, codec)
	if err != nil {
		return nil, err
	}
	if err := f.write(values); err != nil {
		return nil, err
	}
	if err := f.end(); err != nil {
		return nil, err
	}
	return []Snapshot{{Handle: handleOf(state, kind, codec), Data: buf.Bytes()}}, nil
}

// handleOf says what a state is whose entries are of type T.
func handleOf[T any](state string, kind job.StateKind, codec *record.Codec[T]) job.StateHandle {
	return job.StateHandle{State: state, Kind: kind, Schema: codec.Schema()}
}

// decoder is a record.Codec, or the record.Decoder of what was written under another schema.
type decoder[T any] interface {
	Decode(frame []byte, dst []T) ([]T, error)
}

// readFrames calls each with the values of a state, some at a time; the slice is its own until it
// returns. It fails unless data is all of a state, and nothing else.
func readFrames[T any](data []byte, from decoder[T], each func([]T) error) error {
	if len(data) < len(magic) || string(data[:len(magic)]) != magic {
		return fmt.Errorf("%w: it does not begin as version %d does", errMalformedState, magic[len(magic)-1])
	}
	var values []T
	for rest := data[len(magic):]; ; {
		if len(rest) < 4 {
			return fmt.Errorf("%w: it is cut off after %d bytes", errMalformedState, len(data))
		}
		length := uint64(binary.LittleEndian.Uint32(rest))
		rest = rest[4:]
		switch {
		case length == 0 && len(rest) == 0:
			return nil
		case length == 0:
			return fmt.Errorf("%w: %d bytes follow its end", errMalformedState, len(rest))
		case length > uint64(len(rest)):
			return fmt.Errorf("%w: a frame of %d bytes has only %d", errMalformedState, length, len(rest))
		}
		var err error
		if values, err = from.Decode(rest[:length], values); err != nil {
			return fmt.Errorf("%w: %w", errMalformedState, err)
		}
		if len(values) == 0 {
			return fmt.Errorf("%w: an empty frame", errMalformedState)
		}
		if err := each(values); err != nil {
			return err
		}
		rest = rest[length:]
	}
}
