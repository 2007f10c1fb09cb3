package record

import "fmt"

// EventKind tells what an Event on an edge means. Batches of records travel between
// events; the order of batches and events on one channel is kept.
type EventKind uint8

// The kinds of event. The numbers are on the wire.
const (
	NoEvent   EventKind = 0 // a batch of records
	Watermark EventKind = 1 // no record with an event time before Value (ms since 1970) follows
	Barrier   EventKind = 2 // records before it belong to checkpoint Value, later ones do not
	End       EventKind = 3 // nothing follows on this channel
	Idle      EventKind = 4 // nothing is expected soon: the channel holds back no watermark
	Active    EventKind = 5 // it is not idle any more

	// StopBarrier is a Barrier after which nothing is emitted that comes from outside or by the clock, until the stop is given up.
	StopBarrier EventKind = 6

	kinds = StopBarrier // the last of them
)

// Known reports whether this build knows what an event of this kind means.
func (k EventKind) Known() bool { return k != NoEvent && k <= kinds }

// Event is what travels on an edge beside records.
type Event struct {
	Kind  EventKind
	Value int64
}

func (e Event) String() string {
	switch e.Kind {
	case NoEvent:
		return "batch"
	case Watermark:
		return fmt.Sprintf("watermark %d", e.Value)
	case Barrier:
		return fmt.Sprintf("barrier %d", e.Value)
	case End:
		return "end"
	case Idle:
		return "idle"
	case Active:
		return "active"
	case StopBarrier:
		return fmt.Sprintf("stop barrier %d", e.Value)
	}
	return fmt.Sprintf("event %d", e.Kind)
}
