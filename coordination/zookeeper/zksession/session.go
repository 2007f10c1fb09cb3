package zksession

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

// maxReply bounds what is read of a server at once: a list of some hundred thousand names.
const maxReply = 16 << 20

// ErrEnded says that the session has ended, with the reason: it was closed, the ensemble has expired it, or
// no server was reached within its timeout. It is final: begin another.
var ErrEnded = errors.New("zookeeper: the session has ended")

// Why a session ended.
var (
	errClosed  = errors.New("it was closed")
	errExpired = errors.New("the ensemble has expired it")
	errLease   = errors.New("no server was reached within the session timeout")
)

// Session is one ZooKeeper session, from its start to its only end. Its methods may be called from several
// goroutines.
//
// The library would follow an expired session with another; this one stops the wire instead. Its goroutine,
// run, is the only one that ends it.
type Session struct {
	conn   *zk.Conn
	events <-chan zk.Event // closed when the library's goroutines have ended
	wire   *wire
	log    *slog.Logger
	prefix string // of settings, in messages

	authenticated bool // more than by a certificate; set before the first call

	places  chan struct{} // one for each call of the library
	changed chan struct{} // tells run to look at state again
	closing chan struct{} // closed by the first close
	closed  sync.Once
	life    context.Context // done when the session has ended
	expire  context.CancelFunc
	stopped chan struct{} // closed when all its goroutines have ended

	mu      sync.Mutex
	state   zk.State      // newest of the library's
	up      chan struct{} // closed while calls can be sent
	down    chan struct{} // closed while they cannot
	cause   error         // why it ended; set before life is done
	running sync.WaitGroup
}

// Start begins a session, and returns when there is one and this process is authenticated. It looks the
// servers' names up first, and tries on while no server answers, until ctx ends. Where trying on is in vain it
// fails at once: servers of which not one has a name that resolves, or none accepts this process's certificate,
// or who it says it is.
func Start(ctx context.Context, cfg Config) (*Session, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	credentials, err := cfg.credentials()
	if err != nil {
		return nil, err
	}
	if err := resolve(ctx, cfg.Servers, cfg.names, cfg.Logger); err != nil {
		return nil, err
	}
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	s, err := dial(cfg, giveUp)
	if err != nil {
		return nil, err
	}
	s.authenticated = credentials != nil
	if err = s.authenticate(ctx, credentials); err == nil {
		err = s.ready(ctx)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	if granted := s.Timeout(); granted != cfg.Timeout {
		s.log.Info("zookeeper: the ensemble granted another session timeout", "asked", cfg.Timeout, "granted", granted)
	}
	return s, nil
}

// dial starts a session. It returns at once: ready tells when there is one. giveUp is told, at
// most once, why there will be none.
func dial(cfg Config, giveUp func(error)) (*Session, error) {
	s := &Session{
		wire:    newWire(cfg.Servers, newDialer(cfg), giveUp),
		log:     cfg.Logger,
		prefix:  cfg.Prefix,
		places:  make(chan struct{}, maxCalls),
		changed: make(chan struct{}, 1),
		closing: make(chan struct{}),
		stopped: make(chan struct{}),
		up:      make(chan struct{}),
		down:    make(chan struct{}),
	}
	close(s.down)
	s.life, s.expire = context.WithCancel(context.Background())
	var err error
	s.conn, s.events, err = zk.Connect(cfg.Servers, cfg.Timeout,
		zk.WithHostProvider(s.wire), zk.WithDialer(s.wire.dial), zk.WithMaxBufferSize(maxReply),
		zk.WithLogger(libraryLog{cfg.Logger}), zk.WithEventCallback(s.observe))
	if err != nil {
		s.expire()
		return nil, fmt.Errorf("zookeeper: connect to %v: %w", cfg.Servers, err)
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
func (s *Session) observe(e zk.Event) {
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
func (s *Session) setState(state zk.State) {
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
func (s *Session) run() {
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
			s.tell(s.current())
		case <-lease.C:
		}
		left := s.leaseLeft()
		switch {
		case s.current() == zk.StateExpired:
			s.end(errExpired)
			return
		case left <= 0:
			s.end(errLease)
			return
		}
		lease.Reset(left)
	}
}

func (s *Session) current() zk.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

func (s *Session) tell(state zk.State) {
	switch state {
	case zk.StateHasSession:
		s.log.Debug("zookeeper: connected", "server", s.conn.Server(), "session", s.id(), "timeout", s.wire.timeout())
	case zk.StateDisconnected:
		s.log.Debug("zookeeper: disconnected", "session", s.id(), "lease", s.leaseLeft())
	}
}

// ID is how the ensemble calls the session: the owner of its ephemeral nodes (zk.Stat.EphemeralOwner).
func (s *Session) ID() int64 { return s.wire.session.Load() }

// Timeout is the session timeout that the ensemble has granted: so long after it has heard of the session last, its
// ephemeral nodes vanish.
func (s *Session) Timeout() time.Duration { return s.wire.timeout() }

func (s *Session) id() string { return fmt.Sprintf("%#x", s.ID()) }

// leaseLeft is how much longer the session may live without another answer. The library waits for
// the ensemble to say that it is over; a process that is cut off would wait for ever. What an answer
// proves is that the ensemble had the request, and when that was nobody knows but that it was
// sent before: one that was held up on its way, or waited for a process that was stopped, renews nothing.
func (s *Session) leaseLeft() time.Duration {
	silence, heard := s.wire.silence()
	if s.wire.timeout() == 0 || !heard {
		return time.Hour // there is no session yet that could end
	}
	return s.wire.timeout() - silence
}

// end makes the end final: calls fail, the library's goroutines and the running ones end.
func (s *Session) end(cause error) {
	s.mu.Lock()
	s.cause = cause
	s.expire()
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

// Close ends the session, and with it its ephemeral nodes, at once. It returns when all its goroutines have ended.
func (s *Session) Close() {
	s.closed.Do(func() { close(s.closing) })
	<-s.stopped
}

// Done is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.life.Done() }

// Context ends with the session.
func (s *Session) Context() context.Context { return s.life }

// Err is nil while the session lives, and then an ErrEnded with the reason.
func (s *Session) Err() error {
	select {
	case <-s.Done():
		return fmt.Errorf("%w: %w", ErrEnded, s.cause)
	default:
		return nil
	}
}

// Go runs f in a goroutine that Close waits for, so f must return soon after Done is closed. It reports false,
// and does nothing, if the session has ended.
func (s *Session) Go(f func()) bool {
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
func (s *Session) ready(ctx context.Context) error {
	for {
		if err := s.Err(); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return s.unanswered(ctx)
		}
		s.mu.Lock()
		up := s.up
		s.mu.Unlock()
		select {
		case <-up:
			return nil
		case <-ctx.Done():
		case <-s.Done():
		}
	}
}

// unanswered is why ctx has ended, with why there was no connection, if that was the matter. The latter is for
// people: a connection that was lost is not what the caller is to hear of.
func (s *Session) unanswered(ctx context.Context) error {
	cause := context.Cause(ctx)
	if trouble := s.wire.trouble(); trouble != nil && !errors.Is(cause, trouble) {
		return fmt.Errorf("zookeeper: %w; the last server that was tried: %v", cause, trouble) //nolint:errorlint // see above
	}
	return fmt.Errorf("zookeeper: %w", cause)
}

// disconnected is closed when the connection of now is lost.
func (s *Session) disconnected() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down
}
