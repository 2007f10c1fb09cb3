package zksession

import (
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// scene says what a server does with a connection, some time after the last session was lost, and how long it takes:
// untried is a session.
type scene func(address string, after, handshake time.Duration) (how answer, took time.Duration)

// standsFor is what names stand for; others are addresses.
var standsFor = map[string][]string{"zk:1": {"b:1", "c:1", "frozen:1"}}

// play takes turns until a server gives a session, and says when; or for a minute. It tells tried of each try.
func play(t *turns, act scene, tried func(address string, after time.Duration)) time.Duration {
	start := time.Now()
	now := start
	for now.Sub(start) < time.Minute {
		s, pause := t.next(now)
		now = now.Add(pause)
		if behind, named := standsFor[s.address]; named {
			s.behind.become(behind)
		} else {
			s.behind.become([]string{s.address})
		}
		at, _ := s.behind.next(now)
		if tried != nil {
			tried(at.address, now.Sub(start))
		}
		how, took := act(at.address, now.Sub(start), at.handshake())
		now = now.Add(took)
		if how == untried {
			t.accepted(s, at)
			break
		}
		t.failed(s, how, now)
		s.behind.failed(at, how, now)
	}
	return now.Sub(start)
}

// The leader is frozen, and accepts connections all the same; the others close them until they have elected another.
func TestElectionBesideAFrozenServer(t *testing.T) {
	for _, servers := range [][]string{{"frozen:1", "b:1", "c:1"}, {"frozen:1", "b:1", "c:1", "d:1", "e:1"}, {"zk:1"}} {
		for elected := firstHandshake + 3*firstPause; elected < restTimes*firstHandshake; elected += 7 * time.Millisecond {
			tn := newTurns(servers)
			took := play(&tn, func(address string, after, handshake time.Duration) (answer, time.Duration) {
				switch {
				case address == "frozen:1":
					return silent, handshake
				case after < elected:
					return closing, time.Millisecond
				}
				return untried, time.Millisecond
			}, nil)
			if late, most := took-elected, elected/pausePart+firstPause+5*time.Millisecond; late > most {
				t.Errorf("%v have a leader after %v, and are found %v later, want %v at most", servers, elected, late, most)
			}
		}
	}
}

// A session anywhere is the end of what servers have let pass before: the next election is not waited out longer.
func TestASessionForgivesEveryServer(t *testing.T) {
	for _, servers := range [][]string{{"frozen:1", "b:1", "c:1"}, {"frozen:1", "zk:1"}} {
		tn := newTurns(servers)
		play(&tn, func(address string, after, handshake time.Duration) (answer, time.Duration) {
			if address == "b:1" && after > 20*time.Second {
				return untried, 0
			}
			return silent, handshake
		}, nil)
		for _, s := range tn.servers {
			for _, one := range append([]*server{s}, s.behind.servers...) {
				if one.handshake() != firstHandshake || one.last != untried {
					t.Errorf("of %v %s has %v for the next handshake", servers, one.address, one.handshake())
				}
			}
		}
	}
}

// What took long before a server did something else makes no pause long after it.
func TestPauseIsShortAfterAChange(t *testing.T) {
	const noticed, elected = 10 * time.Second, 10*time.Second + 900*time.Millisecond // by followers, that their leader is frozen
	tn := newTurns([]string{"b:1", "c:1"})
	took := play(&tn, func(_ string, after, handshake time.Duration) (answer, time.Duration) {
		switch {
		case after < noticed:
			return silent, min(handshake, noticed-after)
		case after < elected:
			return closing, time.Millisecond
		}
		return untried, time.Millisecond
	}, nil)
	if late := took - elected; late > 100*time.Millisecond {
		t.Errorf("found %v after the election", late)
	}
}

// Servers that need a second for a session are given it before a session of 10 s is over, whatever a third one does.
func TestLoadedServersAreGivenTime(t *testing.T) {
	for _, third := range []answer{absent, closing, silent} {
		tn := newTurns([]string{"third:1", "b:1", "c:1"})
		took := play(&tn, func(address string, _, handshake time.Duration) (answer, time.Duration) {
			switch {
			case address != "third:1" && handshake > time.Second:
				return untried, time.Second
			case address != "third:1" || third == silent:
				return silent, handshake
			}
			return third, 0
		}, nil)
		if took > 8*time.Second {
			t.Errorf("with a third server that does %d: a session after %v", third, took)
		}
	}
}

// Servers that refuse at once are not flooded.
func TestTriesAreBounded(t *testing.T) {
	tn := newTurns([]string{"a:1", "b:1", "c:1"})
	tries := make(map[string]int)
	play(&tn, func(string, time.Duration, time.Duration) (answer, time.Duration) { return closing, 0 }, func(address string, after time.Duration) {
		tries[fmt.Sprint(address, " in second ", int(after.Seconds()))]++
	})
	for _, address := range tn.addresses() {
		for second, most := range []int{40, 15, 9, 7, 6, 5, 4, 3} {
			if n := tries[fmt.Sprint(address, " in second ", second)]; n > most || n == 0 {
				t.Errorf("%d tries at %s in second %d, want 1 to %d", n, address, second, most)
			}
		}
	}
}

func TestAnswerOf(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	reset := &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	for _, test := range []struct {
		err  error
		want answer
	}{
		{io.EOF, closing},
		{fmt.Errorf("TLS with a: %w", io.ErrUnexpectedEOF), closing},
		{reset, closing},
		{refused, absent},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, silent},
		{fmt.Errorf("server a does not resolve: %w", &net.DNSError{IsTimeout: true}), silent},
		{&net.DNSError{IsNotFound: true}, absent},
		{&tlsError{server: "a", err: io.EOF}, absent},
	} {
		if got := answerOf(test.err); got != test.want {
			t.Errorf("%v: %d, want %d", test.err, got, test.want)
		}
	}
}
