package jobmanager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/storage"
	"github.com/perennial-io/perennial/internal/stored"
)

// Keys in coordination.
const (
	incarnationKey     = "incarnation"
	taskManagersPrefix = "taskmanagers/"
	jobsPrefix         = "jobs/"
)

func intentKey(id job.ID) string { return jobsPrefix + string(id) + "/intent" }

// maxIntent is the size of the largest intent that coordination holds, in bytes. Of a larger
// one it holds the name of an object in storage.
const maxIntent = 8 << 10

// put writes a key over the version that was read of it, or creates it.
func put(key string, value []byte, over coordination.Version) coordination.Op {
	if over == coordination.NoVersion {
		return coordination.Create(key, value)
	}
	return coordination.Set(key, value, over)
}

// The states of a TaskManager's record.
const (
	live = "live"
	dead = "dead"
)

// taskManagerRecord is what is committed about an instance of a TaskManager.
type taskManagerRecord struct {
	Host   string    `json:"host"`
	Data   string    `json:"data"` // address of its data port
	Slots  int       `json:"slots"`
	State  string    `json:"state"`
	Reason string    `json:"reason,omitempty"` // why it was declared dead
	Ended  time.Time `json:"ended,omitzero"`   // and when
	// Planned says that it was told to end, and ended in order.
	Planned bool `json:"planned,omitempty"`
	// Lease is how long its subtasks run without a renewal; 0: for any time. Proved says that nothing ran any more when it
	// was declared dead, so that no lease is waited for.
	Lease  time.Duration `json:"lease,omitempty"`
	Proved bool          `json:"proved,omitempty"`
	// Draining says that jobs are to leave it, and Force that they wait for nothing; it is for good.
	Draining bool `json:"draining,omitempty"`
	Force    bool `json:"force,omitempty"`
}

type storedTaskManager struct {
	instance string
	record   taskManagerRecord
	version  coordination.Version
}

// storedIntent is an intent as coordination holds it: itself, or where it is.
type storedIntent struct {
	*execution.Intent
	Blob string `json:"blob,omitempty"`
}

// encodeIntent makes the value of an intent, and stores what is too large for one.
func encodeIntent(ctx context.Context, s *storage.Storage, in execution.Intent) ([]byte, error) {
	b, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encode the intent of %s: %w", in.Spec.ID, err)
	}
	if len(b) <= maxIntent {
		return b, nil
	}
	hash, err := s.PutIntent(ctx, b)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]string{"blob": hash})
}

// blobOf is the name of the object in which the intent of a value is, or "".
func blobOf(value []byte) string {
	var stored struct{ Blob string }
	if len(value) > maxIntent || json.Unmarshal(value, &stored) != nil {
		return ""
	}
	return stored.Blob
}

// errWithheld says that storage, which has failed, did not give an intent: it may give it later.
var errWithheld = errors.New("storage does not give it")

// decodeIntent reverses encodeIntent. It fails with errWithheld where that may pass.
func decodeIntent(ctx context.Context, s *storage.Storage, value []byte) (execution.Intent, error) {
	held := storedIntent{Intent: new(execution.Intent)}
	if err := stored.Decode(value, &held); err != nil {
		return execution.Intent{}, err
	}
	if held.Blob != "" {
		b, err := s.Intent(ctx, held.Blob)
		switch {
		case errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrHash), errors.Is(err, storage.ErrName):
			return execution.Intent{}, err
		case err != nil:
			return execution.Intent{}, fmt.Errorf("%w: %w", errWithheld, err)
		}
		if err := stored.Decode(b, held.Intent); err != nil {
			return execution.Intent{}, err
		}
	}
	in := *held.Intent
	if in.Holds() && (in.GraphHash == "" || in.Attempt == 0 || len(in.Assignment) != in.Slots) {
		return in, fmt.Errorf("it is %s and lacks a plan, an attempt or an assignment of its %d slots", in.Phase, in.Slots)
	}
	return in, nil
}

// readTaskManagers reads what is committed about TaskManagers (I10: as new as the claim).
func readTaskManagers(ctx context.Context, term coordination.Term) ([]storedTaskManager, error) {
	entries, err := term.List(ctx, taskManagersPrefix)
	if err != nil {
		return nil, fmt.Errorf("read the TaskManagers: %w", err)
	}
	var list []storedTaskManager
	for _, e := range entries {
		s := storedTaskManager{instance: strings.TrimPrefix(e.Key, taskManagersPrefix), version: e.Version}
		if err := stored.Decode(e.Value, &s.record); err != nil {
			return nil, fmt.Errorf("read %s: %w", e.Key, err)
		}
		list = append(list, s)
	}
	return list, nil
}

// ensureIncarnation makes sure that coordination and storage belong to the same cluster, and
// returns its incarnation (R16). The first leader makes one, in coordination first: a leader that
// dies in between leaves a cluster that has nothing else yet, which the next completes.
func ensureIncarnation(ctx context.Context, term coordination.Term, s *storage.Storage) (string, error) {
	inStorage, err := s.Incarnation(ctx)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return "", fmt.Errorf("read the cluster's incarnation: %w", err)
	}
	entry, err := term.Get(ctx, incarnationKey)
	switch inCoordination := string(entry.Value); {
	case err != nil && !errors.Is(err, coordination.ErrNotFound):
		return "", fmt.Errorf("read the cluster's incarnation: %w", err)
	case strings.HasPrefix(inCoordination, movedMark):
		return "", &MovedError{"the cluster has left this coordination, and lives in another: its last export is " + strings.TrimPrefix(inCoordination, movedMark) +
			"; if it was never imported, import it (perennial metadata import) into an empty place"}
	case strings.HasPrefix(inCoordination, restoredMark):
		return "", &WrongClusterError{strings.TrimPrefix(inCoordination, restoredMark)}
	case err != nil && inStorage != "":
		return "", &WrongClusterError{fmt.Sprintf("storage.dir %s belongs to cluster %s, and coordination knows of none: it was wiped or restored, or is another one. "+
			"Bring coordination's data back, or start a new cluster with an empty storage.dir", s.Dir(), inStorage)}
	case err != nil:
		return createIncarnation(ctx, term, s)
	case inStorage == "":
		return completeIncarnation(ctx, term, s, inCoordination)
	case inStorage != inCoordination:
		return "", &WrongClusterError{fmt.Sprintf("storage.dir %s belongs to cluster %s, and coordination to cluster %s: set storage.dir, or the coordination, of one cluster",
			s.Dir(), inStorage, inCoordination)}
	}
	return inStorage, nil
}

// WrongClusterError says that storage and coordination do not belong together, and what to do.
type WrongClusterError struct{ message string }

func (e *WrongClusterError) Error() string { return e.message }

func createIncarnation(ctx context.Context, term coordination.Term, s *storage.Storage) (string, error) {
	incarnation := uuid.NewString()
	if _, err := term.Commit(ctx, coordination.Create(incarnationKey, []byte(incarnation))); err != nil {
		return "", fmt.Errorf("commit the cluster's incarnation: %w", err)
	}
	return completeIncarnation(ctx, term, s, incarnation)
}

// completeIncarnation copies the incarnation to a storage that has none, unless the cluster has
// been used: then this is not its storage.
func completeIncarnation(ctx context.Context, term coordination.Term, s *storage.Storage, incarnation string) (string, error) {
	used, err := term.List(ctx, jobsPrefix)
	if err != nil {
		return "", fmt.Errorf("read the jobs: %w", err)
	}
	if len(used) > 0 {
		return "", &WrongClusterError{fmt.Sprintf("storage.dir %s is empty, and cluster %s has %d jobs: set storage.dir to the directory that it was started with", s.Dir(), incarnation, len(used))}
	}
	stored, err := s.CreateIncarnation(ctx, incarnation)
	if err != nil {
		return "", err
	}
	if stored != incarnation {
		return "", &WrongClusterError{fmt.Sprintf("storage.dir %s belongs to cluster %s, and coordination to cluster %s", s.Dir(), stored, incarnation)}
	}
	return stored, nil
}
