package disk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/perennial-io/perennial/internal/state"
)

// index is the piece of a snapshot that says what the others are: all that it takes to open the tree again.
type index struct {
	Version     int    `json:"version"`
	Subtask     int    `json:"subtask"` // that wrote it, of
	Parallelism int    `json:"parallelism"`
	Groups      int    `json:"groups"`
	Files       []file `json:"files"`
	// Rest are Pebble's small files, by name: its own list of the tables, and names that alone say something.
	Rest map[string][]byte `json:"rest"`

	pieces map[string]state.Restored
}

// file is a table of the tree, whose keys are of the groups from First to Last.
type file struct {
	Name  string `json:"name"`
	First int    `json:"first"`
	Last  int    `json:"last"`

	through uint64 // sequence number of the last write in it
}

const (
	indexName    = "index"
	indexVersion = 1
	indexMost    = 64 << 20 // bytes; more is no index
)

// readRest reads the small files of a captured tree.
func (x *index) readRest(dir string) error {
	x.Rest = map[string][]byte{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !isRest(e.Name()) {
			continue
		}
		if x.Rest[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// isRest reports whether a file is one of those that a tree is opened by. Pebble's OPTIONS are not: the program's
// are.
func isRest(name string) bool {
	return name == filepath.Base(name) && (strings.HasPrefix(name, "MANIFEST-") || strings.HasPrefix(name, "marker."))
}

func (x *index) write(w io.Writer) error {
	x.Version = indexVersion
	return json.NewEncoder(w).Encode(x)
}

// parseIndex reads what write wrote, and refuses what names files elsewhere.
func parseIndex(b []byte) (*index, error) {
	x := new(index)
	if err := json.Unmarshal(b, x); err != nil {
		return nil, fmt.Errorf("index of a store: %w", err)
	}
	if x.Version != indexVersion {
		return nil, fmt.Errorf("index of a store: version %d, this program reads %d", x.Version, indexVersion)
	}
	if x.Parallelism < 1 || x.Subtask < 0 || x.Subtask >= x.Parallelism || x.Groups < x.Parallelism {
		return nil, fmt.Errorf("index of a store: subtask %d of %d with %d key groups", x.Subtask, x.Parallelism, x.Groups)
	}
	for _, f := range x.Files {
		if f.Name != filepath.Base(f.Name) || !strings.HasSuffix(f.Name, tableSuffix) || f.First < 0 || f.Last < f.First {
			return nil, fmt.Errorf("index of a store: %q with the groups from %d to %d is no file of one", f.Name, f.First, f.Last)
		}
	}
	for name := range x.Rest {
		if !isRest(name) {
			return nil, fmt.Errorf("index of a store: %q is no file of one", name)
		}
	}
	return x, nil
}

// readIndexes returns the trees that are restored, each with its pieces.
func readIndexes(restored []state.Restored) ([]*index, error) {
	bySubtask := map[int]map[string]state.Restored{}
	for _, r := range restored {
		if bySubtask[r.Subtask] == nil {
			bySubtask[r.Subtask] = map[string]state.Restored{}
		}
		bySubtask[r.Subtask][r.Handle.Part] = r
	}
	var all []*index
	for subtask, pieces := range bySubtask {
		piece, there := pieces[indexName]
		if !there {
			return nil, fmt.Errorf("what subtask %d wrote has no index", subtask)
		}
		b, err := readAll(piece)
		if err != nil {
			return nil, err
		}
		x, err := parseIndex(b)
		if err != nil {
			return nil, fmt.Errorf("written by subtask %d: %w", subtask, err)
		}
		if x.Subtask != subtask {
			return nil, fmt.Errorf("the index of subtask %d is that of subtask %d", subtask, x.Subtask)
		}
		x.pieces = pieces
		all = append(all, x)
	}
	return all, nil
}

func readAll(r state.Restored) ([]byte, error) {
	in, err := r.Reader()
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(in, indexMost))
	return b, errors.Join(err, in.Close())
}
