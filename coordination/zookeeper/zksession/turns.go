package zksession

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"syscall"
	"time"
)

// How long a server may take to accept a connection and a session. It doubles with each time that the server lets
// pass, since a loaded one must be let in as well, and a server that is frozen costs no more than this instead of the
// library's 6.7 session timeouts.
const (
	firstHandshake   = 300 * time.Millisecond
	longestHandshake = 2400 * time.Millisecond
)

// restTimes is how many times the time that it has let pass a silent server is left out, while another closes
// connections: that one is alive and has no quorum, as in an election, and may have one at any moment.
const restTimes = 5

// The pause after a round in which no server accepted is a twentieth of the time for which each has done the same: so much
// later than it could is an ensemble found again that has elected a leader. A server sees at most 50 connections a second
// of one client, and those for 0.4 s; 40 in the first second, 15 in the next, and 2 a second in the end. The library's own
// pause is a second after every round.
const (
	firstPause   = 20 * time.Millisecond
	longestPause = 500 * time.Millisecond
	pausePart    = 20
)

// answer is what a server did with a connection that brought no session.
type answer int

const (
	untried answer = iota // since the newest session
	absent                // it could not be connected to
	closing               // it closed the connection
	silent                // it did nothing in time
)

func answerOf(err error) answer {
	var wait net.Error
	switch {
	case errors.As(err, &wait) && wait.Timeout():
		return silent
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return closing
	}
	return absent
}

// server is one of the list, or one address of its name, with what is known of it.
type server struct {
	address  string // host:port
	behind   turns  // those that its name stands for: it may be a whole ensemble, of which one is frozen
	round    int    // in which it was tried last
	last     answer
	silences int       // since the newest session
	rests    time.Time // until then it is left out, if another is closing
}

// handshake is how long the next one may take.
func (s *server) handshake() time.Duration {
	return doubled(firstHandshake, longestHandshake, s.silences)
}

// turns decides which server is tried next, and when. Nothing in it waits; its user guards it. Its zero value has no server yet.
type turns struct {
	servers []*server
	at      int       // index of the next
	round   int       // in each of which every server is tried once, but for those that rest
	changed time.Time // when a server last did something else than before
}

// newTurns has the servers in another order for each client, to spread them.
func newTurns(addresses []string) turns {
	t := turns{round: 1}
	for _, a := range addresses {
		t.servers = append(t.servers, &server{address: a})
	}
	rand.Shuffle(len(t.servers), func(i, j int) { t.servers[i], t.servers[j] = t.servers[j], t.servers[i] })
	return t
}

// become makes these addresses the servers; those that were among them before stay what they were.
func (t *turns) become(addresses []string) {
	if slices.Equal(addresses, t.addresses()) {
		return
	}
	was := t.servers
	t.servers = nil
	for _, a := range addresses {
		if i := slices.IndexFunc(was, func(s *server) bool { return s.address == a }); i >= 0 {
			t.servers = append(t.servers, was[i])
		} else {
			t.servers = append(t.servers, &server{address: a})
		}
	}
	t.at = rand.IntN(len(t.servers)) // clients begin at several
}

func (t *turns) addresses() []string {
	var all []string
	for _, s := range t.servers {
		all = append(all, s.address)
	}
	return all
}

// next is whose turn it is, and the pause before.
func (t *turns) next(now time.Time) (s *server, pause time.Duration) {
	if s = t.due(now); s == nil {
		t.round++
		s = t.due(now) // one that is closing never rests, and else none does
		pause = min(max(now.Sub(t.changed)/pausePart, firstPause), longestPause)
	}
	s.round = t.round
	return s, pause
}

// due is the next server that this round has not tried, nil if there is none.
func (t *turns) due(now time.Time) *server {
	electing := slices.ContainsFunc(t.servers, func(s *server) bool { return s.last == closing })
	for range t.servers {
		s := t.servers[t.at]
		t.at = (t.at + 1) % len(t.servers)
		if s.round < t.round && (!electing || !now.Before(s.rests)) {
			return s
		}
	}
	return nil
}

// failed notes what a server did.
func (t *turns) failed(s *server, how answer, now time.Time) {
	if s.last != how {
		s.last, t.changed = how, now
	}
	s.rests = time.Time{}
	if how == silent {
		t.rest(s, now)
		s.silences++
	}
}

// rest has a silent server tried again only after others. One that gave a session, and is silent now, is among them.
func (t *turns) rest(s *server, now time.Time) { s.rests = now.Add(restTimes * s.handshake()) }

// accepted notes that a server gave a session, by one of its addresses: the next round begins with the server after it.
func (t *turns) accepted(by, at *server) {
	t.forgive()
	by.rests, at.rests = time.Time{}, time.Time{}
	t.round++
}

func (t *turns) forgive() {
	for _, s := range t.servers {
		s.last, s.silences = untried, 0
		s.behind.forgive()
	}
}

func doubled(first, longest time.Duration, times int) time.Duration {
	d := first
	for range times {
		if d *= 2; d >= longest {
			return longest
		}
	}
	return d
}
