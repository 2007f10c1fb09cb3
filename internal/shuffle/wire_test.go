package shuffle

import (
	"strings"
	"testing"

	"github.com/perennial-io/perennial/internal/record"
)

// TestEventsTravel: every kind of event comes through memory and TCP as it was sent, in order.
func TestEventsTravel(t *testing.T) {
	sent := []record.Event{{Kind: record.Watermark, Value: -5}, {Kind: record.Idle}, {Kind: record.Active}, {Kind: record.Barrier, Value: 7}, {Kind: record.StopBarrier, Value: 8}, {Kind: record.End}}
	codec := codecOf[entry](t)
	p := newPair(t)
	ch := p.channel(4, 0, 0)
	gates := []*Gate[entry]{NewGate(1, codec), NewGate(1, codec)}
	BindInput(p.consumer, ch, gates[1], 0)
	for i, out := range []Output[entry]{LocalOutput(gates[0], 0), remote(t, p, ch, codec)} {
		w := NewWriter(Forward[entry](), []Output[entry]{out}, WriterConfig{Context: t.Context()})
		for _, want := range sent {
			must(t, w.Event(want))
			it := <-gates[i].Items()
			if it.Event() != want {
				t.Errorf("output %d: got %v, want %v", i, it.Event(), want)
			}
			it.Release()
		}
		must(t, w.Drain())
	}
}

// TestUnknownEvents are refused: a build that went on without one would be wrong, and nobody would know.
func TestUnknownEvents(t *testing.T) {
	for _, kind := range []record.EventKind{record.NoEvent, record.StopBarrier + 1, 255} {
		if _, err := parseEvent(appendEvent(nil, record.Event{Kind: kind})); err == nil || !strings.Contains(err.Error(), "malformed") {
			t.Errorf("kind %d: got %v", kind, err)
		}
	}
}
