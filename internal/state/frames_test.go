package state

import (
	"errors"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
)

// FuzzState: whatever is read, it is an error or a state that is written as it was read.
func FuzzState(f *testing.F) {
	codec, err := record.CodecOf[Entry[string, []int]]()
	if err != nil {
		f.Fatal(err)
	}
	good, err := Small("lists", job.ValueState, codec, []Entry[string, []int]{{"a", nil}, {"b", []int{1, 2}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good.Data)
	f.Add(good.Data[:len(good.Data)-3])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		var all []Entry[string, []int]
		read := func(data []byte) error {
			return Read(data, codec, func(v []Entry[string, []int]) error { all = append(all, v...); return nil })
		}
		if err := read(data); err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("got %v", err)
			}
			return
		}
		n := len(all)
		again, err := Small("lists", job.ValueState, codec, all)
		if err != nil {
			t.Fatal(err)
		}
		if err := read(again.Data); err != nil || len(all) != 2*n {
			t.Errorf("%d values were written, %d read, %v", n, len(all)-n, err)
		}
	})
}

// TestFramesOfALaterRelease: a state of a later format is not called malformed, and says what to do.
func TestFramesOfALaterRelease(t *testing.T) {
	err := Read[int]([]byte("PST\x02\x00\x00\x00\x00"), nil, nil)
	if err == nil || errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "format 2") || !strings.Contains(err.Error(), "build it with that release") {
		t.Errorf("%v", err)
	}
}
