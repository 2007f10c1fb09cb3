package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/perennial-io/perennial/coordination"
)

// maxReply bounds what is read of a server at once: a list of some hundred thousand names.
const maxReply = 16 << 20

// Why a session ended.
var (
	errClosed  = errors.New("it was closed")
	errExpired = errors.New("the ensemble has expired it")
	errLease   = errors.New("no server was reached within the session timeout")
)

// session is one ZooKeeper session, from its start to its only end. The library would follow
// an expired one with another; this one stops the wire instead. Its goroutine, run, is the
// only one that ends it.
type session struct {
	conn   *zk.Conn
	events <-chan zk.Event // closed when the library's goroutines have ended
	wire   *wire
	log    *slog.Logger

	authenticated bool // more than by a certificate; set before the first call

	places  chan struct{} // one for each call of the library
	changed chan struct{} // tells run to look at state again
	closing chan struct{} // closed by the first close
	closed  sync.Once
	done    chan struct{}   // closed when the session has ended
	life    context.Context // done likewise
	expire  context.CancelFunc
	stopped chan struct{} // closed when all its goroutines have ended

	mu      sync.Mutex
	state   zk.State      // newest of the library's
	up      chan struct{} // closed while calls can be sent
	down    chan struct{} // closed while they cannot
	cause   error         // why it ended; set before done is closed
	running sync.WaitGroup
}

// start begins a session, and returns once this process is authenticated and prepare has run in
// it. It looks the servers' names up first, and tries on while no server answers, until ctx ends.
func start(ctx context.Context, cfg Config, servers []string, prepare func(context.Context, *session) error) (*session, error) {
	credentials, err := cfg.credentials()
	if err != nil {
		return nil, err
	}
	if err := resolve(ctx, servers, cfg.Lookup, cfg.Logger); err != nil {
		return nil, err
	}
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	s, err := dial(cfg, servers, giveUp)
	if err != nil {
		return nil, err
	}
	s.authenticated = credentials != nil
	if err = s.authenticate(ctx, credentials); err == nil {
		err = prepare(ctx, s)
	}
	if err == nil {
		return s, nil
	}
	if trouble := s.wire.trouble(); trouble != nil && !errors.Is(err, trouble) {
		err = fmt.Errorf("%w; the last server that was tried: %w", err, trouble)
	}
	s.close()
	return nil, err
}

// dial starts a session. It returns at once: ready tells when there is one. giveUp is told, at
// most once, why there will be none.
func dial(cfg Config, servers []string, giveUp func(error)) (*session, error) {
	s := &session{
		wire:    newWire(servers, newDialer(cfg), giveUp),
		log:     cfg.Logger,
		places:  make(chan struct{}, maxCalls),
		changed: make(chan struct{}, 1),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
		stopped: make(chan struct{}),
		up:      make(chan struct{}),
		down:    make(chan struct{}),
	}
	close(s.down)
	s.life, s.expire = context.WithCancel(context.Background())
	var err error
	s.conn, s.events, err = zk.Connect(servers, cfg.SessionTimeout,
		zk.WithHostProvider(s.wire), zk.WithDialer(s.wire.dial), zk.WithMaxBufferSize(maxReply),
		zk.WithLogger(libraryLog{cfg.Logger}), zk.WithEventCallback(s.observe))
	if err != nil {
		s.expire()
		return nil, fmt.Errorf("zookeeper: connect to %v: %w", servers, err)
	}
	go s.run()
	return s, nil
}

// libraryLog is where the library logs.
type libraryLog struct{ log *slog.Logger }

func (l libraryLog) Printf(format string, args ...any) {
	l.log.Debug("zookeeper client: " + fmt.Sprintf(format, args...))
}

// observe is called by the library's goroutines and must not wait. What cannot: an expired
// session is cut off before the library can dial the next.
func (s *session) observe(e zk.Event) {
	if e.Type != zk.EventSession {
		return
	}
	switch e.State {
	case zk.StateExpired:
		s.wire.end()
	case zk.StateHasSession:
		s.wire.established()
	case zk.StateDisconnected:
	default:
		return // on its way to one of these
	}
	s.mu.Lock()
	s.setState(e.State)
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default: // run has yet to look, and will see this state
	}
}

// setState is called with the mutex held. An expired session stays expired.
func (s *session) setState(state zk.State) {
	if s.state == zk.StateExpired {
		return
	}
	wasUp, isUp := s.state == zk.StateHasSession, state == zk.StateHasSession
	s.state = state
	switch {
	case isUp && !wasUp:
		close(s.up)
		s.down = make(chan struct{})
	case wasUp && !isUp:
		close(s.down)
		s.up = make(chan struct{})
	}
}

// run handles the session's events until it ends, and ends it.
func (s *session) run() {
	defer close(s.stopped)
	lease := time.NewTimer(time.Hour)
	lease.Stop()
	defer lease.Stop()
	for {
		select {
		case <-s.closing:
			s.end(errClosed)
			return
		case <-s.changed:
		case <-lease.C:
		}
		state := s.current()
		s.tell(state)
		lease.Stop()
		switch state {
		case zk.StateExpired:
			s.end(errExpired)
			return
		case zk.StateDisconnected:
			left := s.leaseLeft()
			if left <= 0 {
				s.end(errLease)
				return
			}
			lease.Reset(left)
		}
	}
}

func (s *session) current() zk.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

func (s *session) tell(state zk.State) {
	switch state {
	case zk.StateHasSession:
		s.log.Debug("zookeeper: connected", "server", s.conn.Server(), "session", s.id(), "timeout", s.wire.timeout())
	case zk.StateDisconnected:
		s.log.Debug("zookeeper: disconnected", "session", s.id(), "lease", s.leaseLeft())
	}
}

func (s *session) id() string { return fmt.Sprintf("%#x", s.wire.session.Load()) }

// leaseLeft is how much longer the session may live without a server. The library waits for
// the ensemble to say that it is over; a process that is cut off would wait for ever.
func (s *session) leaseLeft() time.Duration {
	if s.wire.timeout() == 0 {
		return time.Hour // there is no session yet that could end
	}
	return s.wire.timeout() - s.wire.silence()
}

// end makes the end final: calls fail, the library's goroutines and the running ones end.
func (s *session) end(cause error) {
	s.mu.Lock()
	s.cause = cause
	s.expire()
	close(s.done)
	s.mu.Unlock()
	if !errors.Is(cause, errClosed) {
		s.log.Warn("zookeeper: session ended", "session", s.id(), "cause", cause)
		s.wire.end()
	}
	if s.current() != zk.StateHasSession {
		s.wire.end() // nobody to say goodbye to: do not wait for a server that might listen
	}
	s.conn.Close() // asks the ensemble to end the session and waits up to a second
	s.wire.end()
	for range s.events { // ends with the library's last goroutine
	}
	s.running.Wait()
}

// close ends the session and returns when all its goroutines have ended.
func (s *session) close() {
	s.closed.Do(func() { close(s.closing) })
	<-s.stopped
}

// ended is nil while the session lives, and then an ErrSessionEnded with the reason.
func (s *session) ended() error {
	select {
	case <-s.done:
		return fmt.Errorf("%w: %w", coordination.ErrSessionEnded, s.cause)
	default:
		return nil
	}
}

// spawn runs f in a goroutine that the session waits for. f returns soon after done is
// closed. It reports false, and does nothing, if the session has ended.
func (s *session) spawn(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != nil {
		return false
	}
	s.running.Go(f)
	return true
}

// ready waits until calls can be sent. While they cannot, nothing is given to the library: it
// would queue without bound and send at a time of its own choice.
func (s *session) ready(ctx context.Context) error {
	for {
		if err := s.ended(); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("zookeeper: %w", context.Cause(ctx))
		}
		s.mu.Lock()
		up := s.up
		s.mu.Unlock()
		select {
		case <-up:
			return nil
		case <-ctx.Done():
		case <-s.done:
		}
	}
}

// disconnected is closed when the connection of now is lost.
func (s *session) disconnected() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down
}
