package operator

import "github.com/perennial-io/perennial/internal/record"

// Map returns the step that hands f of each record to out. A map of a type to itself works in
// place; another one fills a batch of its own, which it uses again and again.
func Map[T, U any](f func(T) U, out Receiver[U]) Receiver[T] {
	if same, ok := any(f).(func(T) T); ok {
		return &mapInPlace[T]{f: same, out: any(out).(Receiver[T])}
	}
	return &mapInto[T, U]{f: f, out: out}
}

type mapInPlace[T any] struct {
	f   func(T) T
	out Receiver[T]
}

func (m *mapInPlace[T]) Batch(records []T) error {
	f := m.f
	for i := range records {
		records[i] = f(records[i])
	}
	return m.out.Batch(records)
}

func (m *mapInPlace[T]) Event(e record.Event) error { return m.out.Event(e) }
func (m *mapInPlace[T]) End() error                 { return m.out.End() }

type mapInto[T, U any] struct {
	f   func(T) U
	out Receiver[U]
	buf []U
}

func (m *mapInto[T, U]) Batch(records []T) error {
	if cap(m.buf) < len(records) {
		m.buf = make([]U, len(records))
	}
	f, buf := m.f, m.buf[:len(records)]
	for i := range records {
		buf[i] = f(records[i])
	}
	return m.out.Batch(buf)
}

func (m *mapInto[T, U]) Event(e record.Event) error { return m.out.Event(e) }
func (m *mapInto[T, U]) End() error                 { return m.out.End() }

// Modify returns the step that lets f change each record where it lies.
func Modify[T any](f func(*T), out Receiver[T]) Receiver[T] {
	return &modify[T]{f: f, out: out}
}

type modify[T any] struct {
	f   func(*T)
	out Receiver[T]
}

func (m *modify[T]) Batch(records []T) error {
	f := m.f
	for i := range records {
		f(&records[i])
	}
	return m.out.Batch(records)
}

func (m *modify[T]) Event(e record.Event) error { return m.out.Event(e) }
func (m *modify[T]) End() error                 { return m.out.End() }

// Filter returns the step that hands on the records for which keep is true, moved together
// in place.
func Filter[T any](keep func(T) bool, out Receiver[T]) Receiver[T] {
	return &filter[T]{keep: keep, out: out}
}

type filter[T any] struct {
	keep func(T) bool
	out  Receiver[T]
}

func (f *filter[T]) Batch(records []T) error {
	keep, n := f.keep, 0
	for i := 0; i < len(records); i++ { // each round a run of kept records and the one after it
		begin := i
		for i < len(records) && keep(records[i]) {
			i++
		}
		if n == begin {
			n = i
			continue
		}
		n += copy(records[n:], records[begin:i])
	}
	if n == 0 {
		return nil
	}
	return f.out.Batch(records[:n])
}

func (f *filter[T]) Event(e record.Event) error { return f.out.Event(e) }
func (f *filter[T]) End() error                 { return f.out.End() }

// Retain is Filter for a function that looks at each record where it lies, and may change it.
func Retain[T any](keep func(*T) bool, out Receiver[T]) Receiver[T] {
	return &retain[T]{keep: keep, out: out}
}

type retain[T any] struct {
	keep func(*T) bool
	out  Receiver[T]
}

func (r *retain[T]) Batch(records []T) error {
	keep, n := r.keep, 0
	for i := range records {
		if !keep(&records[i]) {
			continue
		}
		if n != i {
			records[n] = records[i]
		}
		n++
	}
	if n == 0 {
		return nil
	}
	return r.out.Batch(records[:n])
}

func (r *retain[T]) Event(e record.Event) error { return r.out.Event(e) }
func (r *retain[T]) End() error                 { return r.out.End() }

// FlatMap returns the step that hands on whatever f emits for each record.
func FlatMap[T, U any](f func(T, func(U)), out Receiver[U]) Receiver[T] {
	m := &flatMap[T, U]{f: f, emitter: newEmitter(out)}
	return m
}

type flatMap[T, U any] struct {
	f func(T, func(U))
	*emitter[U]
}

func (m *flatMap[T, U]) Batch(records []T) error {
	f, emit := m.f, m.emit
	for i := range records {
		f(records[i], emit)
	}
	return m.handOn()
}

// Apply is FlatMap of a function that may fail: its error ends the subtask.
func Apply[T, U any](f func(T, func(U)) error, out Receiver[U]) Receiver[T] {
	return &apply[T, U]{f: f, emitter: newEmitter(out)}
}

type apply[T, U any] struct {
	f func(T, func(U)) error
	*emitter[U]
}

func (a *apply[T, U]) Batch(records []T) error {
	f, emit := a.f, a.emit
	for i := range records {
		if err := f(records[i], emit); err != nil {
			return err
		}
	}
	return a.handOn()
}

// emitter collects what a user function emits into batches. Within one incoming batch it fills
// its own up; at the end of each incoming one it hands on what it has, so that nothing waits
// here for more input.
type emitter[U any] struct {
	emit func(U) // add, bound once, so that no call allocates
	out  Receiver[U]
	buf  []U
	err  error // of out, from within emit; what is emitted after it is dropped
}

func newEmitter[U any](out Receiver[U]) *emitter[U] {
	e := &emitter[U]{out: out, buf: make([]U, 0, record.BatchSize[U]())}
	e.emit = e.add
	return e
}

func (e *emitter[U]) add(v U) {
	e.buf = append(e.buf, v)
	if len(e.buf) == cap(e.buf) {
		e.handOnFull()
	}
}

// handOnFull is apart from add so that add stays small.
func (e *emitter[U]) handOnFull() {
	if e.err == nil {
		e.err = e.out.Batch(e.buf)
	}
	e.buf = e.buf[:0]
}

func (e *emitter[U]) handOn() error {
	if e.err != nil || len(e.buf) == 0 {
		return e.err
	}
	e.err = e.out.Batch(e.buf)
	e.buf = e.buf[:0]
	return e.err
}

func (e *emitter[U]) Event(ev record.Event) error { return e.out.Event(ev) }
func (e *emitter[U]) End() error                  { return e.out.End() }
