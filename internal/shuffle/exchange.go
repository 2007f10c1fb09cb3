package shuffle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"github.com/perennial-io/perennial/internal/job"
)

// Channel names a channel between two subtasks of one attempt of a job.
type Channel struct {
	Job     job.ID
	Edge    int // index in job.Graph.Edges
	From    int // the producer's subtask index
	To      int // the consumer's
	Attempt job.Attempt
}

func (c Channel) String() string {
	return fmt.Sprintf("edge %d from subtask %d to %d of attempt %d of job %s", c.Edge, c.From, c.To, c.Attempt, c.Job)
}

// Config is what an Exchange is told.
type Config struct {
	Job     job.ID
	Region  int // as in rpc.Deploy: it is the same at both ends of each connection
	Attempt job.Attempt
	// Dial opens a connection to a data address. nil: TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	Log  *slog.Logger // nil: slog.Default()
}

// ErrClosed is the cause when a channel's Exchange was closed.
var ErrClosed = errors.New("shuffle: the exchange is closed")

// Exchange has all data connections of a task process, in both directions: one to each peer that its
// subtasks send to, and those that peers have opened.
type Exchange struct {
	cfg    Config
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{}
	links  map[string]*link // by peer
	inputs map[Channel]*inbound
}

// NewExchange returns an exchange for one attempt of a job. It dials a
// peer when a Writer takes the first RemoteOutput to it. Close ends it.
func NewExchange(cfg Config) *Exchange {
	if cfg.Dial == nil {
		cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address)
		}
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	return &Exchange{
		cfg:    cfg,
		log:    cfg.Log.With("job", cfg.Job, "attempt", cfg.Attempt),
		ctx:    ctx,
		cancel: cancel,
		conns:  map[net.Conn]struct{}{},
		links:  map[string]*link{},
		inputs: map[Channel]*inbound{},
	}
}

// Accept takes over a connection that a peer has opened and whose preamble, and nothing after it, has been
// read: the next byte is the first of a frame. It returns at once; the exchange closes the
// connection, at the first malformed frame or in the end.
func (x *Exchange) Accept(c net.Conn) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		_ = c.Close()
		return
	}
	x.conns[c] = struct{}{}
	x.wg.Go(newPeerConn(x, c).run)
}

func (x *Exchange) allLinks() []*link {
	x.mu.Lock()
	defer x.mu.Unlock()
	links := make([]*link, 0, len(x.links))
	for _, l := range x.links {
		links = append(links, l)
	}
	return links
}

// Close closes every connection, whatever is outstanding, and waits for every goroutine. Writers that wait for a
// remote consumer return ErrClosed.
func (x *Exchange) Close() {
	x.cancel(ErrClosed)
	x.mu.Lock()
	x.closed = true
	for c := range x.conns {
		_ = c.Close()
	}
	x.mu.Unlock()
	for _, l := range x.allLinks() {
		l.fail(ErrClosed)
	}
	x.wg.Wait()
}

// track notes a connection that Close is to close; false: it is closed already.
func (x *Exchange) track(c net.Conn) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return false
	}
	x.conns[c] = struct{}{}
	return true
}

// end closes a connection and forgets it.
func (x *Exchange) end(c net.Conn) {
	_ = c.Close()
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.conns, c)
}

// linkTo returns the link to a peer, and starts it when it is new.
func (x *Exchange) linkTo(peer string) (*link, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return nil, ErrClosed
	}
	l := x.links[peer]
	if l == nil {
		l = &link{x: x, peer: peer, wake: make(chan struct{}, 1)}
		x.links[peer] = l
		x.wg.Go(l.run)
	}
	return l, nil
}

func (x *Exchange) input(ch Channel) *inbound {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.inputs[ch]
}
