package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/perennial-io/perennial/coordination"
)

// A Locator finds JobManagers.
type Locator interface {
	// Addresses lists REST addresses, host:port, to try in turn: the leader's if it is known,
	// or every JobManager's. It is asked again whenever they do not answer.
	Addresses(ctx context.Context) ([]string, error)
	Close() error
}

// Fixed is a Locator for JobManagers whose REST addresses are known: the only one of a cluster
// without high availability, or all of an embedded quorum.
func Fixed(addresses ...string) Locator { return fixed(addresses) }

type fixed []string

func (f fixed) Addresses(context.Context) ([]string, error) {
	if len(f) == 0 {
		return nil, errors.New("no JobManager is configured")
	}
	return f, nil
}

func (fixed) Close() error { return nil }

// ByCoordination is a Locator that asks coordination who leads. It opens a session when it is
// first asked, and a new one when that has ended.
func ByCoordination(open func(ctx context.Context) (coordination.Store, error)) Locator {
	return &byCoordination{open: open}
}

type byCoordination struct {
	open func(ctx context.Context) (coordination.Store, error)

	mu    sync.Mutex // held while a session is opened: callers want the same one
	store coordination.Store
}

func (b *byCoordination) Addresses(ctx context.Context) ([]string, error) {
	store, err := b.session(ctx)
	if err != nil {
		return nil, fmt.Errorf("coordination is not reachable: %w", err)
	}
	leadership, err := store.Leader(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask coordination who leads: %w", err)
	}
	if leadership.Epoch == 0 {
		return nil, errors.New("no JobManager has led this cluster yet; is one started?")
	}
	var leader JobManager
	if err := json.Unmarshal(leadership.Data, &leader); err != nil {
		return nil, fmt.Errorf("the leader's record in coordination cannot be read: %w", err)
	}
	return []string{leader.REST}, nil
}

func (b *byCoordination) session(ctx context.Context) (coordination.Store, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.store != nil {
		select {
		case <-b.store.Done():
			_ = b.store.Close() // its session has ended; what is left are connections
			b.store = nil
		default:
			return b.store, nil
		}
	}
	store, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	b.store = store
	return store, nil
}

func (b *byCoordination) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.store == nil {
		return nil
	}
	return b.store.Close()
}
