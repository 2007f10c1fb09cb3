package memory

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/perennial-io/perennial/coordination"
)

// condition is what a link does to messages.
type condition int

const (
	whole condition = iota
	mute            // requests pass, replies wait
	cut             // requests wait
)

// maxWaiting bounds the requests that wait in a cut link.
const maxWaiting = 1024

// link is a network between one session and the state, which a test can break.
type link struct {
	mu        sync.Mutex
	condition condition
	delay     time.Duration
	waiting   []message       // while cut
	unheard   []chan struct{} // replies to give at Heal
	up        chan struct{}   // closed while whole
}

type message struct {
	request func(context.Context)
	replied chan struct{}
	ended   <-chan struct{} // of the session: its messages then count no more
}

func newLink() *link {
	l := &link{up: make(chan struct{})}
	close(l.up)
	return l
}

// Up implements state.Link.
func (l *link) Up() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up
}

func (l *link) setDelay(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = d
}

// Do implements state.Link.
func (l *link) Do(ctx context.Context, ended <-chan struct{}, request func(context.Context)) error {
	if err := l.slow(ctx, ended); err != nil {
		return err
	}
	msg := message{request: request, replied: make(chan struct{}), ended: ended}
	l.send(ctx, msg)
	select {
	case <-msg.replied:
		return nil
	default:
	}
	select {
	case <-msg.replied:
		return nil
	case <-ended:
		return coordination.ErrSessionEnded
	case <-ctx.Done():
		return fmt.Errorf("coordination: no answer: %w", context.Cause(ctx))
	}
}

// slow waits for as long as the link is slow.
func (l *link) slow(ctx context.Context, ended <-chan struct{}) error {
	l.mu.Lock()
	d := l.delay
	l.mu.Unlock()
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ended:
		return coordination.ErrSessionEnded
	case <-ctx.Done():
		return fmt.Errorf("coordination: not sent: %w", context.Cause(ctx))
	}
}

// send lets the message go as far as the link's condition lets it.
func (l *link) send(ctx context.Context, msg message) {
	l.mu.Lock()
	if l.condition == cut {
		if len(l.waiting) < maxWaiting {
			l.waiting = append(l.waiting, msg)
		}
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	msg.request(ctx)
	l.reply(msg)
}

// reply tells the caller that its request has run, at Heal if the link is broken now.
func (l *link) reply(msg message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.condition == whole {
		close(msg.replied)
	} else {
		l.unheard = append(l.unheard, msg.replied)
	}
}

// set changes the condition. Mending gives the replies that waited and runs the requests
// that did, in order; a request that is sent at this moment may overtake them.
func (l *link) set(c condition) {
	l.mu.Lock()
	if (l.condition == whole) != (c == whole) {
		if c == whole {
			close(l.up)
		} else {
			l.up = make(chan struct{})
		}
	}
	l.condition = c
	var waiting []message
	if c != cut {
		waiting, l.waiting = l.waiting, nil
	}
	if c == whole {
		for _, replied := range l.unheard {
			close(replied)
		}
		l.unheard = nil
	}
	l.mu.Unlock()
	for _, msg := range waiting {
		select {
		case <-msg.ended:
			continue
		default:
		}
		msg.request(context.Background()) // its caller's context is no part of the message
		l.reply(msg)
	}
}
