// Package disk keeps the keyed state of a job on the disks of its TaskManagers, for state that is larger
// than memory:
//
//	env.KeepState(disk.Store(disk.Budget(1 << 30)))
//
// Each operator has a store of its own in each subtask, an LSM tree ([Pebble]): what was written lately is in
// memory, everything else in sorted files that never change. In front of it small entries are cached as they are
// (rows.go). A checkpoint is the list of those files, and
// uploads the ones that the checkpoint before does not have. Files on a TaskManager's disk are of no use after
// the process: no write waits for the disk, there is no log, and a restart begins with the files of the
// checkpoint. Timers are kept in memory.
//
// Only a job that imports this package links Pebble.
//
// A store belongs to the goroutine of its subtask, as package state says. Goroutines beside it: Pebble's own,
// which sort and merge files, until the store is closed; and the one, not this package's, that uploads a
// snapshot (snapshot.go).
//
// [Pebble]: https://github.com/cockroachdb/pebble
package disk

import (
	"github.com/perennial-io/perennial/internal/state"
)

// defaultBudget is the memory of the stores of one process, in bytes.
const defaultBudget = 256 << 20

// Option changes how state is kept.
type Option func(*options)

type options struct {
	budget    int64
	directory string
}

// Budget sets how many bytes of memory the stores of all operators and subtasks in one task process use
// together for what they cache and for what is not in files yet; the default is 256 MiB. Beside it a store
// needs some memory for each file that it has open, and some while it merges files: see docs/state-stores.md.
func Budget(bytes int64) Option { return func(o *options) { o.budget = bytes } }

// Directory sets where the files are while a process runs: below that directory, in one of their own, which is
// removed when the process ends, and, if it was killed, when the next one begins there. The default is a
// directory that the TaskManager gives, or the system's for temporary files. It should be on a local disk that has room for the
// state twice over.
func Directory(path string) Option { return func(o *options) { o.directory = path } }

// Store returns the store, for Env.KeepState.
func Store(opts ...Option) state.Opener {
	s := &store{options: options{budget: defaultBudget}}
	for _, set := range opts {
		set(&s.options)
	}
	return s
}
