package zookeeper

import (
	"context"
	"sync"
)

// feed hands the newest value to each subscriber. A slow one misses values in between.
// It starts no goroutine: one follows what the values are of, and publishes.
type feed[T any] struct {
	isNews func(told, v T) bool // whether v is to be told after told
	start  sync.Once            // of the goroutine that publishes

	mu          sync.Mutex
	latest      T
	have        bool
	closed      bool
	subscribers map[chan T]func() bool // how not to hear of its context any more
}

func newFeed[T any](isNews func(told, v T) bool) *feed[T] {
	return &feed[T]{isNews: isNews, subscribers: make(map[chan T]func() bool)}
}

// subscribe returns a channel with the newest value, if there is one, and the coming ones,
// until ctx is done or the feed is closed.
func (f *feed[T]) subscribe(ctx context.Context) <-chan T {
	f.mu.Lock()
	defer f.mu.Unlock()
	ch := make(chan T, 1)
	if f.closed || ctx.Err() != nil {
		close(ch)
		return ch
	}
	if f.have {
		ch <- f.latest
	}
	f.subscribers[ch] = context.AfterFunc(ctx, func() { f.unsubscribe(ch) })
	return ch
}

func (f *feed[T]) unsubscribe(ch chan T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, there := f.subscribers[ch]; there {
		delete(f.subscribers, ch)
		close(ch)
	}
}

func (f *feed[T]) publish(v T) { f.publishIf(v, f.isNews) }

// publishIf is publish with a judgement of its own.
func (f *feed[T]) publishIf(v T, isNews func(told, v T) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.have && !isNews(f.latest, v) {
		return
	}
	f.latest, f.have = v, true
	for ch := range f.subscribers {
		select {
		case <-ch: // not read yet, and no longer the newest
		default:
		}
		ch <- v // has room: only publish sends
	}
}

func (f *feed[T]) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for ch, forget := range f.subscribers {
		forget()
		close(ch)
	}
	clear(f.subscribers)
}
