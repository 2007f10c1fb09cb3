package shuffle

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/perennial-io/perennial/internal/record"
)

// TestDrain: a writer is drained when the last buffer has come home, the End's included, and
// not before.
func TestDrain(t *testing.T) {
	for name, p := range map[string]Partitioner[int]{
		"hash":      Hash(func(v int) uint64 { return uint64(v) }, 16),
		"rebalance": Rebalance[int](),
		"broadcast": Broadcast[int](),
	} {
		synctest.Test(t, func(t *testing.T) {
			gates, outs := local[int](t, 2)
			w := NewWriter(p, outs, WriterConfig{Context: t.Context()})
			must(t, w.Batch(numbersUpTo(3*record.BatchSize[int]())))
			must(t, w.Event(record.Event{Kind: record.Watermark, Value: 1}))
			must(t, w.End())
			var taken []*Item[int]
			for _, g := range gates {
				for len(g.Items()) > 0 {
					it := <-g.Items()
					taken = append(taken, &it)
				}
			}
			drained := make(chan error, 1)
			go func() { drained <- w.Drain() }()
			for i, it := range taken {
				synctest.Wait()
				if len(drained) > 0 {
					t.Fatalf("%s: drained, with %d of %d items released", name, i, len(taken))
				}
				it.Release()
			}
			synctest.Wait()
			if len(drained) == 0 {
				t.Fatalf("%s: not drained, with all %d items released", name, len(taken))
			}
			must(t, <-drained)
		})
	}
}

// TestDrainGivesUp: with the writer's context, and by a failed output.
func TestDrainGivesUp(t *testing.T) {
	p := newPair(t)
	ch, codec := p.channel(0, 0, 0), codecOf[int](t)
	gate := NewGate(1, codec)
	BindInput(p.consumer, ch, gate, 0)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	w := NewWriter(Forward[int](), []Output[int]{remote(t, p, ch, codec)}, WriterConfig{Context: ctx})
	must(t, w.End())
	<-gate.Items() // and nobody releases it
	cancel(stop)
	if err := w.Drain(); !errors.Is(err, stop) {
		t.Errorf("got %v, expected the context's cause", err)
	}

	zombie := NewExchange(Config{Job: p.job, Attempt: 7, Log: p.producer.cfg.Log})
	defer zombie.Close()
	ch.Attempt = 7
	out, err := RemoteOutput(zombie, ch, p.address, codec)
	must(t, err)
	w = NewWriter(Forward[int](), []Output[int]{out}, WriterConfig{Context: t.Context()})
	if err := errors.Join(w.End(), w.Drain()); err == nil || !strings.Contains(err.Error(), "refuses edge 0") {
		t.Errorf("got %v, expected the refusal", err)
	}
}

// TestDrainAfterABreak: the last connection breaks before the last credit was sent on it. The
// producer dials again for nothing but that.
func TestDrainAfterABreak(t *testing.T) {
	p := newPair(t)
	ch, codec := p.channel(0, 0, 0), codecOf[int](t)
	gate := NewGate(1, codec)
	BindInput(p.consumer, ch, gate, 0)
	w := NewWriter(Forward[int](), []Output[int]{remote(t, p, ch, codec)}, WriterConfig{Context: t.Context()})
	must(t, w.Batch([]int{1}))
	must(t, w.End())
	batch, end := <-gate.Items(), <-gate.Items()
	p.consumer.mu.Lock()
	for c := range p.consumer.conns {
		_ = c.Close()
	}
	p.consumer.mu.Unlock()
	var released atomic.Bool
	go func() {
		batch.Release()
		released.Store(true)
		end.Release()
	}()
	must(t, w.Drain())
	if !released.Load() {
		t.Error("drained before all was released")
	}
}
