package inspect

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// probeTime bounds a Probe.
const probeTime = 1500 * time.Millisecond

// Probe has a process look at its surroundings.
type Probe struct {
	Write  string   `json:"write,omitempty"` // a token to write to the shared storage
	Read   []string `json:"read,omitempty"`  // tokens that are to be there
	Delete []string `json:"delete,omitempty"`
	Dial   []string `json:"dial,omitempty"` // addresses, host:port, that are to accept a connection
}

// Probed is what it has seen.
type Probed struct {
	Clock    time.Time `json:"clock"`
	Version  string    `json:"version"`
	Storage  string    `json:"storage"`
	Problems []Problem `json:"problems,omitempty"`
}

// Problem is something that was not as it should be.
type Problem struct {
	About string `json:"about"` // the token or address
	Text  string `json:"text"`
}

// Tokens is the shared storage, as a Probe looks at it.
type Tokens interface {
	PutToken(ctx context.Context, name string) error
	HasToken(ctx context.Context, name string) (bool, error)
	DeleteToken(ctx context.Context, name string) error
	Dir() string
}

// Run looks at everything at once, and returns within two seconds.
func (p Probe) Run(ctx context.Context, storage Tokens, dial func(ctx context.Context, network, address string) (net.Conn, error), version string) *Probed {
	ctx, cancel := context.WithTimeoutCause(ctx, probeTime, fmt.Errorf("no answer within %v", probeTime))
	defer cancel()
	seen := &Probed{Version: version, Storage: storage.Dir()}
	var mu sync.Mutex
	var wg sync.WaitGroup
	try := func(about string, look func() error) {
		wg.Go(func() {
			err := look()
			if errors.Is(err, context.DeadlineExceeded) {
				err = context.Cause(ctx)
			}
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				seen.Problems = append(seen.Problems, Problem{about, err.Error()})
			}
		})
	}
	for _, name := range p.Read {
		try(name, func() error {
			has, err := storage.HasToken(ctx, name)
			if err == nil && !has {
				err = errors.New("it is not there")
			}
			return err
		})
	}
	for _, name := range p.Delete {
		try(name, func() error { return storage.DeleteToken(ctx, name) })
	}
	if p.Write != "" {
		try(p.Write, func() error { return storage.PutToken(ctx, p.Write) })
	}
	for _, address := range p.Dial {
		try(address, func() error {
			conn, err := dial(ctx, "tcp", address)
			if err == nil {
				conn.Close()
			}
			return err
		})
	}
	wg.Wait()
	seen.Clock = time.Now().UTC()
	return seen
}
