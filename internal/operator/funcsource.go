package operator

import (
	"context"
	"io"
	"runtime"
	"sync"

	"github.com/perennial-io/perennial/internal/record"
)

// FuncReader runs f in a goroutine of its own, which Close waits for, and reads what it emits.
// When ctx ends or the reader is closed, emit does not return: the goroutine ends there, its
// deferred functions run. So a function that emits for ever needs no look at its context.
func FuncReader[T any](ctx context.Context, f func(ctx context.Context, emit func(T)) error) Reader[T] {
	ctx, cancel := context.WithCancel(ctx)
	r := &funcReader[T]{
		ctx: ctx, cancel: cancel,
		buf:  make([]T, 0, record.BatchSize[T]()),
		room: make(chan struct{}, 1), ready: make(chan struct{}, 1), over: make(chan struct{}),
	}
	go r.run(f)
	return r
}

type funcReader[T any] struct {
	ctx    context.Context
	cancel context.CancelFunc
	room   chan struct{} // a token: the buffer was emptied
	ready  chan struct{} // a token: there is something in the buffer, or the end
	over   chan struct{} // closed: the goroutine is done

	mu  sync.Mutex
	buf []T
	end error // io.EOF or why f failed; nil while it runs
}

func (r *funcReader[T]) run(f func(context.Context, func(T)) error) {
	defer close(r.over)
	Guarded(func() error { return f(r.ctx, r.emit) }, func(err error) {
		if err == nil {
			err = io.EOF
		}
		if r.ctx.Err() != nil { // whatever f made of it
			err = r.ctx.Err()
		}
		r.mu.Lock()
		r.end = err
		r.mu.Unlock()
		signal(r.ready)
	})
}

func (r *funcReader[T]) emit(v T) {
	r.mu.Lock()
	for len(r.buf) == cap(r.buf) {
		r.mu.Unlock()
		select {
		case <-r.room:
		case <-r.ctx.Done():
			runtime.Goexit()
		}
		r.mu.Lock()
	}
	r.buf = append(r.buf, v)
	first := len(r.buf) == 1
	r.mu.Unlock()
	if first {
		signal(r.ready)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (r *funcReader[T]) Next(dst []T) (int, error) {
	r.mu.Lock()
	n := copy(dst, r.buf)
	left := copy(r.buf, r.buf[n:])
	clear(r.buf[left:])
	r.buf = r.buf[:left]
	err := r.end
	r.mu.Unlock()
	if n > 0 {
		signal(r.room)
	}
	if left > 0 {
		return n, nil
	}
	return n, err
}

func (r *funcReader[T]) Ready() <-chan struct{} { return r.ready }

func (r *funcReader[T]) Close() error {
	r.cancel()
	<-r.over
	return nil
}
