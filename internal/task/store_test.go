package task

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestSmallState: what is copied out of a file is small or not by its size alone, whatever io.Copy makes of
// reader and writer.
func TestSmallState(t *testing.T) {
	for size, want := range map[int]error{0: nil, inlineMost: nil, inlineMost + 1: errNotSmall, 1 << 20: errNotSmall} {
		content := bytes.Repeat([]byte{'s'}, size)
		path := filepath.Join(t.TempDir(), "piece")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var small atMost
		if _, err := io.Copy(&small, f); !errors.Is(err, want) {
			t.Errorf("%d bytes: %v, want %v", size, err, want)
		}
		if want == nil && !bytes.Equal(small.taken, content) {
			t.Errorf("%d bytes: %d of them were taken", size, len(small.taken))
		}
	}
}
