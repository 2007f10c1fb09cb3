package task

import (
	"errors"
	"hash/crc32"
	"io"
	"os"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
)

// kept writes a copy, and returns the handle of what was stored.
func kept(c *copies, file, content string, failure error) job.StateHandle {
	k := c.begin()
	_ = k.through(io.Discard, func(w io.Writer) error {
		_, err := io.WriteString(w, content)
		return errors.Join(err, failure)
	})
	k.end(file, failure)
	return job.StateHandle{File: file, Size: int64(len(content)), CRC: crc32.Checksum([]byte(content), crc32.MakeTable(crc32.Castagnoli))}
}

func TestCopies(t *testing.T) {
	c := newCopies(t.TempDir() + "/copies/job")
	one := kept(c, "checkpoints/job/chk-1-1/state-0-0-0", "one", nil)
	two := kept(c, "checkpoints/job/chk-2-1/state-0-0-0", "two", nil)
	failed := kept(c, "checkpoints/job/chk-3-1/state-0-0-0", "three", errors.New("storage is full"))
	for _, test := range []struct {
		name string
		h    job.StateHandle
		want string
	}{
		{"the first", one, "one"}, {"the second", two, "two"}, {"one that was not stored", failed, ""},
		{"another size", job.StateHandle{File: one.File, Size: 4, CRC: one.CRC}, ""},
		{"another sum", job.StateHandle{File: one.File, Size: 3, CRC: two.CRC}, ""},
		{"in the handle", job.StateHandle{Data: []byte("x"), Size: 1}, ""},
	} {
		if b, ok := c.read(test.h); string(b) != test.want || ok != (test.want != "") {
			t.Errorf("%s: got %q, %v", test.name, b, ok)
		}
	}

	// The second checkpoint goes on naming a file of the first; the third names neither.
	c.acknowledged(job.Acknowledgement{Checkpoint: 1, States: []job.StateHandle{one}})
	c.acknowledged(job.Acknowledgement{Checkpoint: 2, States: []job.StateHandle{one, two}})
	c.completed(2)
	if _, ok := c.read(one); !ok {
		t.Error("a copy is gone that a completed checkpoint names")
	}
	c.acknowledged(job.Acknowledgement{Checkpoint: 3, States: []job.StateHandle{two}})
	c.completed(3)
	if _, ok := c.read(one); ok {
		t.Error("a copy stays that nobody names")
	}
	if _, ok := c.read(two); !ok {
		t.Error("a copy is gone that a completed checkpoint names")
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%d files are left, %v; want one", len(entries), err)
	}
}

// TestNoCopies: where none are kept, nothing is asked and nothing written.
func TestNoCopies(t *testing.T) {
	c := newCopies("")
	h := kept(c, "f", "x", nil)
	c.acknowledged(job.Acknowledgement{Checkpoint: 1, States: []job.StateHandle{h}})
	c.completed(1)
	if _, ok := c.read(h); ok {
		t.Error("there is a copy")
	}
}
