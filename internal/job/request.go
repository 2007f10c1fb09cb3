package job

import (
	"fmt"
	"path/filepath"
	"strings"
)

// RequestKind is what a client may ask of a running job.
type RequestKind string

// The kinds of request.
const (
	TakeCheckpoint RequestKind = "checkpoint"
	TakeSavepoint  RequestKind = "savepoint"
	StopJob        RequestKind = "stop"   // with a savepoint
	ChangeJob      RequestKind = "change" // of parallelism, or of binary and arguments
)

// Request is what a client asks of a running job. The client makes the id: a request that is sent
// twice has one effect (R9).
type Request struct {
	ID   ID          `json:"id"` // made by NewID
	Kind RequestKind `json:"kind"`
	// Directory is where a savepoint is made in a directory of its own, an absolute path or a URL; "": below
	// storage.dir.
	Directory string `json:"directory,omitempty"`
	// Drain has sources end as if their input had, before a stop's savepoint is taken.
	Drain  bool    `json:"drain,omitempty"`
	Change *Change `json:"change,omitempty"`
}

// Change is what becomes of a job's Spec.
type Change struct {
	Parallelism int      `json:"parallelism,omitempty"` // 0: as it is
	Artifact    string   `json:"artifact,omitempty"`    // "": the same binary, with the same arguments
	Args        []string `json:"args,omitempty"`        // of the new binary; none: as they are
	Dir         string   `json:"dir,omitempty"`         // where relative paths in Args start
	// AllowDropped says that state which no operator takes may be dropped.
	AllowDropped bool `json:"allowDropped,omitempty"`
}

// Check says what is wrong with a request in itself.
func (r Request) Check() error {
	if _, err := ParseID(string(r.ID)); err != nil {
		return fmt.Errorf("id: %w", err)
	}
	if r.Directory != "" && !filepath.IsAbs(r.Directory) && !strings.Contains(r.Directory, "://") {
		return fmt.Errorf("directory: %q is relative, and each JobManager would take it from a directory of its own; expected an absolute path or a URL", r.Directory)
	}
	switch r.Kind {
	case TakeCheckpoint, TakeSavepoint, StopJob:
		return nil
	case ChangeJob:
		return r.Change.check()
	}
	return fmt.Errorf("kind: there is no request %q", r.Kind)
}

func (c *Change) check() error {
	switch {
	case c == nil || c.Parallelism == 0 && c.Artifact == "":
		return fmt.Errorf("change: neither a parallelism nor a binary is given")
	case c.Parallelism < 0:
		return fmt.Errorf("parallelism: %d; expected 1 or more", c.Parallelism)
	}
	return nil
}

// Apply returns what spec becomes.
func (c *Change) Apply(spec Spec) Spec {
	spec.Continues = true
	if c.Parallelism > 0 {
		spec.Parallelism = c.Parallelism
	}
	if c.Artifact == "" {
		return spec
	}
	spec.Artifact = c.Artifact
	if len(c.Args) > 0 {
		spec.Args, spec.Dir = c.Args, c.Dir
	}
	return spec
}
