package jobmanager

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perennial-io/perennial/internal/rpc"
)

// postBox bounds the messages that wait to be sent over one session.
const postBox = 1024

// session is a connection that somebody opened to this JobManager: a TaskManager that has
// registered, or a standby that has said Hello. Its reader is the goroutine that accepted
// it, its writer another.
type session struct {
	conn     *rpc.Conn
	register rpc.Register // of a TaskManager
	hello    rpc.Hello    // of a standby
	heard    atomic.Int64 // when the peer was last heard, see monotonic
	began    time.Time
	load     atomic.Pointer[rpc.Load] // as a TaskManager told it last
	asks     atomic.Pointer[rpc.Ask]  // its newest; nil: it wants no lease

	out  chan letter
	gone chan struct{} // closed by close
	once sync.Once
}

type letter struct {
	header  rpc.Header
	message rpc.Message
}

var processStart = time.Now()

// monotonic is the time since this process began, for an atomic.
func monotonic() time.Duration { return time.Since(processStart) }

func newSession(conn *rpc.Conn) *session {
	s := &session{conn: conn, out: make(chan letter, postBox), gone: make(chan struct{}), began: time.Now().UTC()}
	s.heard.Store(int64(monotonic()))
	return s
}

// post queues a message. A peer that takes nothing for so long that the queue is full loses the
// connection: it comes back and is told anew.
func (s *session) post(h rpc.Header, m rpc.Message) {
	select {
	case s.out <- letter{h, m}:
	default:
		s.close()
	}
}

// close ends the connection, for its reader and its writer.
func (s *session) close() {
	s.once.Do(func() {
		close(s.gone)
		s.conn.Close()
	})
}

// write is the writer's goroutine. It ends with the session.
func (s *session) write() {
	defer s.close()
	for {
		select {
		case l := <-s.out:
			if err := s.conn.Send(l.header, l.message); err != nil {
				return
			}
			sent(l.message)
		case <-s.gone:
			return
		}
	}
}

// silent is for how long nothing was heard.
func (s *session) silent() time.Duration { return monotonic() - time.Duration(s.heard.Load()) }

func (s *session) peer() net.Addr { return s.conn.RemoteAddr() }

// who is the peer by its own words.
func (s *session) who() string {
	switch {
	case s.register.Instance != "":
		return fmt.Sprintf("TaskManager %s on %s", s.register.Instance, s.register.Host)
	case s.hello.ID != "":
		return fmt.Sprintf("JobManager %s at %s", s.hello.ID, s.hello.REST)
	}
	return "nobody that is known"
}
