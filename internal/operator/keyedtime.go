package operator

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/state"
)

// timers are those of one of the two times, and what is to be called.
type timers[K comparable] struct {
	*state.Timers[K]
	fire func(at time.Time) error
}

// Timer is one that was set. It stands in a DeadLetter where the function that it calls has failed.
type Timer[K comparable] struct {
	Key K
	At  time.Time
}

// reached is how far event time had come in all subtasks that wrote the state: further records are behind that.
func (o *KeyedOperator[K, R]) reached() (int64, error) {
	codec, err := record.CodecOf[int64]()
	least, found := int64(math.MaxInt64), false
	for _, piece := range state.Named(o.restored, watermarkState) {
		if err != nil {
			break
		}
		err = state.ReadPiece(piece, codec, func(marks []int64) error {
			for _, m := range marks {
				least, found = min(least, m), true
			}
			return nil
		})
	}
	if !found {
		return NoWatermark, err
	}
	return least, err
}

// OnEventTimer says what is called for each timer that SetEventTimer has set, once the watermark has
// reached it; the timer's key is the one at hand. The end of a bounded input reaches all of them.
func (o *KeyedOperator[K, R]) OnEventTimer(f func(at time.Time) error) {
	o.open(&o.eventTimes, "OnEventTimer", eventTimers, f)
}

// OnTimer says what is called for each timer that SetTimer has set, once its time has come by the host's
// clock; the timer's key is the one at hand. Those that are left at the end of a bounded input are dropped.
func (o *KeyedOperator[K, R]) OnTimer(f func(at time.Time) error) {
	o.open(&o.clock, "OnTimer", processingTimers, f)
}

func (o *KeyedOperator[K, R]) open(t *timers[K], verb, name string, f func(at time.Time) error) {
	switch {
	case f == nil:
		Fail(o, fmt.Errorf("%s(nil): expected a function", verb))
	case t.fire != nil:
		Fail(o, fmt.Errorf("%s was given a function twice; let one do both", verb))
		return
	}
	t.fire = f
	var err error
	if t.Timers, err = state.OpenTimers(o.store, name); err != nil {
		Fail(o, err)
	}
}

// Watermark returns the event time before which no record follows, the zero Time while that is unknown.
// A record whose time is before it has come late.
func (o *KeyedOperator[K, R]) Watermark() time.Time {
	switch {
	case o.ended:
		return time.UnixMilli(math.MaxInt64)
	case o.watermark == NoWatermark:
		return time.Time{}
	}
	return time.UnixMilli(o.watermark)
}

// Ended reports whether the input has ended, and event-time timers fire for that reason alone. A function
// that sets a timer anew each time is to stop then: all that are set fire at once.
func (o *KeyedOperator[K, R]) Ended() bool { return o.ended }

// SetEventTimer sets a timer for the key at hand: OnEventTimer's function is called once the watermark
// has reached at, to the millisecond. Setting it twice sets it once.
func (o *KeyedOperator[K, R]) SetEventTimer(at time.Time) {
	o.eventTimes.must("OnEventTimer").Set(milliseconds(at))
}

// DeleteEventTimer deletes a timer of the key at hand, if there is one.
func (o *KeyedOperator[K, R]) DeleteEventTimer(at time.Time) {
	o.eventTimes.must("OnEventTimer").Delete(milliseconds(at))
}

// SetTimer sets a timer for the key at hand: OnTimer's function is called once it is at by the host's
// clock, to the millisecond. Setting it twice sets it once.
func (o *KeyedOperator[K, R]) SetTimer(at time.Time) { o.clock.must("OnTimer").Set(milliseconds(at)) }

// DeleteTimer deletes a timer of the key at hand, if there is one.
func (o *KeyedOperator[K, R]) DeleteTimer(at time.Time) {
	o.clock.must("OnTimer").Delete(milliseconds(at))
}

// far is further from 1970, in seconds, than any time that is meant.
const far = int64(1) << 50

// milliseconds is the first full millisecond that is not before at.
func milliseconds(at time.Time) int64 {
	if s := at.Unix(); s > far || s < -far {
		return max(-far, min(s, far)) * 1000
	}
	ms := at.UnixMilli()
	if at.After(time.UnixMilli(ms)) {
		ms++
	}
	return ms
}

func (t *timers[K]) must(verb string) *state.Timers[K] {
	if t.Timers == nil {
		panic(state.Failure{Err: errors.New("a timer was set or deleted, and nothing is to be called for one: give the operator a function by " + verb)})
	}
	return t.Timers
}

// timersAtOnce is how many fire before the subtask looks whether it is to end, or to stand still: there may be as many as keys, and a
// function that sets timers anew would go on for ever.
const timersAtOnce = 1024

// fire calls for the timers that are due at now, those included that are set meanwhile.
func (o *KeyedOperator[K, R]) fire(t *timers[K], now int64) error {
	if t.Timers == nil {
		return nil
	}
	n := 0
	for at, ok := t.Pop(now); ok; at, ok = t.Pop(now) {
		if n++; n%timersAtOnce == 0 {
			if err := o.w.pause(); err != nil {
				return err
			}
		}
		if err := o.call(t, time.UnixMilli(at)); err != nil {
			return err
		}
		if o.err != nil {
			return o.err
		}
	}
	o.store.ClearKey()
	return nil
}

// call calls for one timer. Where one that fails does not fail the job, what it emits waits until it is done.
func (o *KeyedOperator[K, R]) call(t *timers[K], at time.Time) error {
	if o.survivor == nil {
		return t.fire(at)
	}
	emitted := len(o.buf)
	o.holds = true
	failure := o.survivor.try(func() error { return t.fire(at) })
	o.holds = false
	if failure == nil {
		failure = o.store.Err()
	}
	if failure != nil {
		o.takeBack(emitted)
		if err := o.survivor.lose(Timer[K]{Key: o.store.Key(), At: at}, failure); err != nil {
			return err
		}
		if len(o.survivor.letters) >= record.BatchSize[DeadLetter[Timer[K]]]() { // there may be as many timers as keys
			return o.survivor.sendLetters()
		}
		return nil
	}
	if len(o.buf) >= record.BatchSize[R]() {
		o.handOn()
	}
	return nil
}

// fireAll calls for the timers that are due at now, and hands on what they emit.
func (o *KeyedOperator[K, R]) fireAll(t *timers[K], now int64) error {
	o.begin()
	if err := o.fire(t, now); err != nil {
		return err
	}
	if err := o.end(); err != nil || o.survivor == nil {
		return err
	}
	return o.survivor.sendLetters()
}

// event handles what is no batch.
func (o *KeyedOperator[K, R]) event(e record.Event) error {
	if e.Kind == record.Watermark {
		if e.Value <= o.watermark {
			return nil // event time had come further before the attempt began
		}
		o.watermark = e.Value
		if err := o.fireAll(&o.eventTimes, e.Value); err != nil {
			return err
		}
	}
	if err := o.out.Event(e); err != nil {
		return err
	}
	for _, d := range o.dead {
		if err := d.Event(e); err != nil {
			return err
		}
	}
	return nil
}

// finish handles the end of the input: no event time follows.
func (o *KeyedOperator[K, R]) finish() error {
	o.ended = true
	if err := o.fireAll(&o.eventTimes, math.MaxInt64); err != nil {
		return err
	}
	if o.clock.Timers != nil {
		o.clock.DropAll() // nor may they fire where an attempt begins with this end
	}
	if err := o.out.End(); err != nil {
		return err
	}
	for _, d := range o.dead {
		if err := d.End(); err != nil {
			return err
		}
	}
	return nil
}

// Deadline is when the next timer is due by the clock.
func (s keyedSubtask[K, R]) Deadline() (time.Time, bool) {
	if s.clock.Timers == nil || s.w.silent() {
		return time.Time{}, false
	}
	at, ok := s.clock.Next()
	return time.UnixMilli(at), ok
}

// Flush calls for the timers that are due.
func (s keyedSubtask[K, R]) Flush() error {
	return s.w.as(s.name, func() error { return s.fireAll(&s.clock, time.Now().UnixMilli()) })
}
