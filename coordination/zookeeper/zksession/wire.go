package zksession

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// brisk is the age below which a connection that is lost was no success: a server that
// accepts sessions and drops them is not dialed without a pause either.
const brisk = 50 * time.Millisecond

// quiet is how often a log line about an ensemble that does not answer is repeated.
const quiet = 10 * time.Second

var errStopped = errors.New("the session is over")

// wire chooses servers and makes the library's connections: it is its HostProvider and its
// dialer. It also watches them: which request a server has answered last, what session timeout it granted.
// Once stopped it never connects again, so that the library cannot follow an expired session
// with a new one and send there what was meant for the old.
type wire struct {
	dialer  *dialer
	log     *slog.Logger
	giveUp  func(error)  // told once if no server accepts this process, before the first session
	start   time.Time    // durations since then, by the monotonic clock
	heard   atomic.Int64 // when the newest request that was answered was sent, since start
	granted atomic.Int64 // session timeout by the server's word, 0: no session yet
	session atomic.Int64 // its id

	ctx  context.Context // done when stopped
	stop context.CancelFunc

	mu       sync.Mutex
	turns    turns
	trying   *server       // whose turn it is
	pause    time.Duration // before
	failures int           // connections in a row that brought no session
	hopeless int           // of these, how many in a row for a reason that does not pass by itself
	current  *tap          // the newest connection
	dialed   time.Time
	last     error     // of a connection since the newest session
	warned   time.Time // that no server accepts; zero: not since the last session
}

func newWire(servers []string, d *dialer, giveUp func(error)) *wire {
	w := &wire{turns: newTurns(servers), dialer: d, log: d.log, giveUp: giveUp, start: time.Now()}
	w.ctx, w.stop = context.WithCancel(context.Background())
	return w
}

// Init is the library handing over the list of servers, which the wire has already.
func (w *wire) Init([]string) error { return nil }

// Len is the number of servers.
func (w *wire) Len() int { return len(w.turns.servers) }

// Connected is the library saying that it has a session; established has told already.
func (w *wire) Connected() {}

// Next is the server to try. To the library the second result means "all were tried: fail
// what is queued, and sleep a second", so it is true only once the session is over.
func (w *wire) Next() (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trying, w.pause = w.turns.next(time.Now())
	if w.failures == 0 && time.Since(w.dialed) < brisk {
		w.pause = firstPause
	}
	return w.trying.address, w.ctx.Err() != nil
}

// dial pauses after fruitless rounds, connects to the server that Next has named, and returns a connection whose
// handshake is bounded.
func (w *wire) dial(string, string, time.Duration) (net.Conn, error) {
	w.warn()
	w.mu.Lock()
	server, pause := w.trying, w.pause
	w.mu.Unlock()
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.ctx.Done():
	}
	conn, err := w.connect(server)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dialed = time.Now()
	w.failures++ // until established says otherwise
	if err != nil {
		w.failed(conn, err)
		return nil, err
	}
	if w.ctx.Err() != nil {
		conn.Close()
		return nil, errStopped
	}
	w.current = conn
	return conn, nil
}

// connect makes a connection to the next address of a server. If there is an error the tap says to whom it was to be.
func (w *wire) connect(to *server) (*tap, error) {
	t := &tap{wire: w, server: to}
	w.mu.Lock()
	patience := to.handshake()
	if len(to.behind.servers) == 0 && to.silences == 0 {
		patience = lookupPatience
	}
	w.mu.Unlock()
	addresses, err := w.dialer.addresses(w.ctx, to.address, patience)
	if err != nil {
		return t, err
	}
	w.mu.Lock()
	to.behind.become(addresses)
	t.behind, _ = to.behind.next(time.Now())
	t.limit = time.Now().Add(t.behind.handshake())
	w.mu.Unlock()
	t.Conn, err = w.dialer.connect(w.ctx, to.address, t.behind.address, t.limit)
	return t, err
}

// failed notes why a connection brought no session; the mutex is held. Where each server of a
// round has refused this process it gives up, unless there was a session: then they may be having
// their certificates renewed.
func (w *wire) failed(c *tap, err error) {
	w.last = err
	w.turns.failed(c.server, answerOf(err), time.Now())
	if c.behind != nil {
		c.server.behind.failed(c.behind, answerOf(err), time.Now())
	}
	var final *tlsError
	if !errors.As(err, &final) {
		w.hopeless = 0
		return
	}
	w.hopeless++
	if w.hopeless == w.Len() && w.granted.Load() == 0 {
		w.giveUp(err)
	}
}

// warn says, now and then, that there was a round in which no server accepted.
func (w *wire) warn() {
	w.mu.Lock()
	tries, last := w.failures, w.last
	due := tries >= w.Len() && time.Since(w.warned) > quiet
	if due {
		w.warned = time.Now()
	}
	w.mu.Unlock()
	if due {
		w.log.Warn("zookeeper: no server accepts the session; trying on", "servers", w.turns.addresses(), "tries", tries, "last", last)
	}
}

// established lifts the handshake's limit from the newest connection: it has a session.
func (w *wire) established() {
	w.mu.Lock()
	current, tries, warned := w.current, w.failures, !w.warned.IsZero()
	w.failures, w.hopeless, w.last, w.warned = 0, 0, nil, time.Time{}
	if current != nil {
		w.turns.accepted(current.server, current.behind)
	}
	w.mu.Unlock()
	if current != nil {
		current.lift()
	}
	if warned {
		w.log.Info("zookeeper: a server accepts the session again", "tries", tries)
	}
}

// trouble is why no server has accepted the session of late, nil if one has.
func (w *wire) trouble() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// refused notes why a handshake failed.
func (w *wire) refused(c *tap, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c != w.current || w.failures == 0 {
		return
	}
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%s closed the connection before there was a session (a port for TLS, or more clients than its maxClientCnxns): %w", c.server.address, err)
	}
	w.failed(c, err)
}

// connection is the newest connection, to be given to cut.
func (w *wire) connection() *tap {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.current
}

// serving is the newest connection if it has the session, and else nil.
func (w *wire) serving() *tap {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failures > 0 {
		return nil
	}
	return w.current
}

// cut closes a connection, so that the library goes on to the next server.
func (w *wire) cut(c *tap) {
	if c != nil {
		c.Close()
	}
}

// leave cuts a connection whose server leaves calls unanswered.
func (w *wire) leave(c *tap) {
	w.mu.Lock()
	if c != nil && c == w.current {
		w.turns.rest(c.server, time.Now())
		c.server.behind.rest(c.behind, time.Now())
	}
	w.mu.Unlock()
	w.cut(c)
}

// end makes the wire connect no more and closes what is connected.
func (w *wire) end() {
	w.stop()
	w.cut(w.connection())
}

// silence is how long ago the newest request was sent of which this process knows that a server has heard it; false if
// there is none.
func (w *wire) silence() (time.Duration, bool) {
	heard := w.heard.Load()
	return time.Since(w.start) - time.Duration(heard), heard > 0
}

// timeout is the session timeout that the ensemble granted, 0 before the first session.
func (w *wire) timeout() time.Duration { return time.Duration(w.granted.Load()) }
