package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/stored"
)

// Incarnation reads the cluster's incarnation, or fails with ErrNotFound in a storage that
// no leader has used yet. It is read once, so that a storage that is away for a while keeps
// nobody from leading.
func (s *Storage) Incarnation(ctx context.Context) (string, error) {
	if known := s.incarnation.Load(); known != nil {
		return *known, nil
	}
	b, err := s.read(ctx, clusterDir, "incarnation")
	if err != nil {
		return "", err
	}
	incarnation := strings.TrimSpace(string(b))
	s.incarnation.Store(&incarnation)
	return incarnation, nil
}

// CreateIncarnation stores the cluster's incarnation unless there is one, and returns the one
// that is stored now.
func (s *Storage) CreateIncarnation(ctx context.Context, incarnation string) (string, error) {
	if _, err := s.createBytes(ctx, clusterDir, "incarnation", []byte(incarnation+"\n")); err != nil {
		return "", err
	}
	return s.Incarnation(ctx)
}

// PutGraph stores a job's plan under its hash, which it returns. One that is there is not written again: a job is planned whenever it
// restarts, which it is to do in a storage that is full or read-only too.
func (s *Storage) PutGraph(ctx context.Context, g *job.Graph) (hash string, err error) {
	b, err := json.Marshal(g)
	if err != nil {
		return "", fmt.Errorf("encode graph of %q: %w", g.Name, err)
	}
	hash = g.Hash()
	if _, err := s.Graph(ctx, hash); !errors.Is(err, ErrNotFound) {
		return hash, err
	}
	_, err = s.createBytes(ctx, graphDir, hash, b)
	return hash, err
}

// Graph reads the plan with this hash. It fails with ErrNotFound, and with ErrHash when it is not what was stored.
func (s *Storage) Graph(ctx context.Context, hash string) (*job.Graph, error) {
	if err := checkSum(hash); err != nil {
		return nil, err
	}
	b, err := s.read(ctx, graphDir, hash)
	if err != nil {
		return nil, err
	}
	if err := stored.Check(b); err != nil {
		return nil, fmt.Errorf("graph %s: %w", hash, err)
	}
	if err := s.checkHash("graph", hash, b, hash); err != nil {
		return nil, err
	}
	g := new(job.Graph)
	if err := stored.Decode(b, g); err != nil {
		return nil, fmt.Errorf("graph %s: %w", hash, err)
	}
	return g, nil
}

// checkHash fails with ErrHash unless b has this hash, which its name has told since it was stored.
func (s *Storage) checkHash(kind, name string, b []byte, hash string) error {
	if hashOf(b) != hash {
		return fmt.Errorf("%w: %s %s in %s was changed", ErrHash, kind, name, s.Location())
	}
	return nil
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// PutIntent stores an intent that is too large for coordination, and returns its hash.
func (s *Storage) PutIntent(ctx context.Context, b []byte) (hash string, err error) {
	hash = hashOf(b)
	_, err = s.createBytes(ctx, intentDir, hash, b)
	return hash, err
}

// Intent reads what PutIntent stored. It fails with ErrNotFound, and with ErrHash when it is not what
// was stored.
func (s *Storage) Intent(ctx context.Context, hash string) ([]byte, error) {
	if err := checkSum(hash); err != nil {
		return nil, err
	}
	b, err := s.read(ctx, intentDir, hash)
	if err != nil {
		return nil, err
	}
	return b, s.checkHash("intent", hash, b, hash)
}

// DeleteIntent removes what PutIntent stored, if it is there.
func (s *Storage) DeleteIntent(ctx context.Context, hash string) error {
	if err := checkSum(hash); err != nil {
		return err
	}
	return s.objects.Delete(ctx, intentDir+"/"+hash)
}

// PutOutputs stores the list of what an attempt makes visible, and returns the list's name, in which its hash is. It is what
// the attempt's subtasks have said, in order, whichever leader heard them: a second one is equal, and has the same name.
func (s *Storage) PutOutputs(ctx context.Context, id job.ID, attempt job.Attempt, outputs []job.Output) (name string, err error) {
	if _, err := job.ParseID(string(id)); err != nil {
		return "", err
	}
	b, err := json.Marshal(outputs)
	if err != nil {
		return "", fmt.Errorf("encode outputs of %s: %w", id, err)
	}
	name = fmt.Sprintf("%s-%d-%s", id, attempt, hashOf(b))
	_, err = s.createBytes(ctx, outputDir, name, b)
	return name, err
}

// DeleteOutputs removes the list with this name, if it is there.
func (s *Storage) DeleteOutputs(ctx context.Context, name string) error {
	if err := checkOutputs(name); err != nil {
		return err
	}
	return s.objects.Delete(ctx, outputDir+"/"+name)
}

func checkOutputs(name string) error {
	if name == "" || strings.ContainsAny(name, `/\`) || name[0] == '.' {
		return fmt.Errorf("%q is no name of a list of outputs", name)
	}
	return nil
}

// Outputs reads the list with this name. It fails with ErrNotFound, and with ErrHash when it is not what was stored.
func (s *Storage) Outputs(ctx context.Context, name string) ([]job.Output, error) {
	if err := checkOutputs(name); err != nil {
		return nil, err
	}
	b, err := s.read(ctx, outputDir, name)
	if err != nil {
		return nil, err
	}
	// A list of a build before this rule has no hash in its name.
	if hash := name[strings.LastIndexByte(name, '-')+1:]; checkSum(hash) == nil {
		if err := s.checkHash("outputs", name, b, hash); err != nil {
			return nil, err
		}
	}
	var outputs []job.Output
	if err := stored.Decode(b, &outputs); err != nil {
		return nil, fmt.Errorf("outputs %s: %w", name, err)
	}
	return outputs, nil
}
