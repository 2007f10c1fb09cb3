package inspect

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// probeTime bounds a Probe, and probeGrace what hears of its end.
const (
	probeTime  = 1500 * time.Millisecond
	probeGrace = 200 * time.Millisecond
)

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

// look is one thing that a Probe does.
type look struct {
	about string
	do    func() error
}

// Run looks at everything at once, and returns within two seconds. What the system does not let go of by then, as a file on a
// mount whose server is away, is told as a problem; its goroutine ends when the system lets go.
func (p Probe) Run(ctx context.Context, storage Tokens, dial func(ctx context.Context, network, address string) (net.Conn, error), version string) *Probed {
	ctx, cancel := context.WithTimeoutCause(ctx, probeTime, fmt.Errorf("no answer within %v", probeTime))
	defer cancel()
	seen := &Probed{Version: version, Storage: storage.Dir()}
	looks := p.looks(ctx, storage, dial)
	type outcome struct {
		of  int
		err error
	}
	outcomes := make(chan outcome, len(looks))
	for i, l := range looks {
		go func() { outcomes <- outcome{i, l.do()} }()
	}
	problem := func(of int, err error) {
		if errors.Is(err, context.DeadlineExceeded) {
			err = context.Cause(ctx)
		}
		if err != nil {
			seen.Problems = append(seen.Problems, Problem{looks[of].about, err.Error()})
		}
		looks[of].do = nil
	}
	end, late := ctx.Done(), (<-chan time.Time)(nil)
	for left := len(looks); left > 0; {
		select {
		case o := <-outcomes:
			left--
			problem(o.of, o.err)
		case <-end:
			end, late = nil, time.After(probeGrace)
		case <-late:
			for i, l := range looks {
				if l.do != nil {
					problem(i, context.Cause(ctx))
				}
			}
			left = 0
		}
	}
	seen.Clock = time.Now().UTC()
	return seen
}

func (p Probe) looks(ctx context.Context, storage Tokens, dial func(ctx context.Context, network, address string) (net.Conn, error)) (all []look) {
	for _, name := range p.Read {
		all = append(all, look{name, func() error {
			has, err := storage.HasToken(ctx, name)
			if err == nil && !has {
				err = errors.New("it is not there")
			}
			return err
		}})
	}
	for _, name := range p.Delete {
		all = append(all, look{name, func() error { return storage.DeleteToken(ctx, name) }})
	}
	if p.Write != "" {
		all = append(all, look{p.Write, func() error { return storage.PutToken(ctx, p.Write) }})
	}
	for _, address := range p.Dial {
		all = append(all, look{address, func() error {
			conn, err := dial(ctx, "tcp", address)
			if err == nil {
				conn.Close()
			}
			return err
		}})
	}
	return all
}
