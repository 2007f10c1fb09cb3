package shuffle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
)

// entry is a record that knows its place, and is as large as Text makes it.
type entry struct {
	From, Seq int
	Text      string
}

// sequence checks that entries come in order from each producer, none lost and none twice, with a
// watermark after each hundredth that says so.
type sequence struct {
	next []int
}

func (s *sequence) check(it *Item[entry]) (ended bool, err error) {
	records, err := it.Records()
	if err != nil {
		return false, err
	}
	from := it.Channel()
	for _, r := range records {
		if r.From != from || r.Seq != s.next[from] || r.Text != text(r.Seq) {
			return false, fmt.Errorf("channel %d: got record %d of %d, expected %d", from, r.Seq, r.From, s.next[from])
		}
		s.next[from]++
	}
	if e := it.Event(); e.Kind == record.Watermark && int(e.Value) != s.next[from] {
		return false, fmt.Errorf("channel %d: %v after %d records", from, e, s.next[from])
	}
	return it.Event().Kind == record.End, nil
}

func text(seq int) string { return strings.Repeat("x", seq*7919%300) }

// produceEntries sends n entries, with a watermark after each hundredth, by way of small and large batches.
func produceEntries(w *Writer[entry], from, n int) error {
	var batch []entry
	for i := range n {
		batch = append(batch, entry{from, i, text(i)})
		if i%100 == 99 || i*i%17 == 0 {
			if err := w.Batch(batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
		if i%100 == 99 {
			if err := w.Event(record.Event{Kind: record.Watermark, Value: int64(i + 1)}); err != nil {
				return err
			}
		}
	}
	if err := w.Batch(batch); err != nil {
		return err
	}
	return w.End()
}

// runSequences sends n entries from each of some producers to one gate and checks their order.
func runSequences(t *testing.T, p *pair, n int) {
	t.Helper()
	const producers = 3
	codec := codecOf[entry](t)
	gate := NewGate(producers, codec)
	var wg sync.WaitGroup
	for from := range producers {
		ch := p.channel(4, from, 0)
		BindInput(p.consumer, ch, gate, from)
		w := NewWriter(Forward[entry](), []Output[entry]{remote(t, p, ch, codec)}, WriterConfig{Context: t.Context()})
		wg.Go(func() {
			if err := produceEntries(w, from, n); err != nil {
				t.Error(err)
				return
			}
			if err := w.Drain(); err != nil {
				t.Error(err)
			}
		})
	}
	s := sequence{next: make([]int, producers)}
	for open := producers; open > 0; {
		it := <-gate.Items()
		ended, err := s.check(&it)
		must(t, err)
		it.Release()
		if ended {
			open--
		}
	}
	wg.Wait()
	for from, got := range s.next {
		if got != n {
			t.Errorf("%d records came from %d, expected %d", got, from, n)
		}
	}
}

func TestRemote(t *testing.T) { runSequences(t, newPair(t), 20_000) }

// TestCutConnections: connections break at random bytes, and nothing is lost, doubled or reordered.
func TestCutConnections(t *testing.T) {
	p := newPair(t)
	cut := newCutter(t, p.address, 15)
	p.address = cut.l.Addr().String()
	runSequences(t, p, 20_000)
	if left := cut.cuts.Load(); left > 0 {
		t.Errorf("%d cuts did not happen", left)
	}
}

// TestLateConsumer: the producer's process is up before its peer listens, and the peer before its
// gate is bound.
func TestLateConsumer(t *testing.T) {
	p := newPair(t)
	codec := codecOf[int](t)
	refused := make(chan struct{}, 100)
	dial := p.producer.cfg.Dial
	dials := 0
	p.producer.cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) {
		if dials++; dials <= 2 {
			refused <- struct{}{}
			return nil, errors.New("connection refused")
		}
		c, err := dial(ctx, address)
		return notingReads{c, refused}, err
	}
	ch := p.channel(0, 0, 0)
	w := NewWriter(Forward[int](), []Output[int]{remote(t, p, ch, codec)}, WriterConfig{Context: t.Context()})
	must(t, w.Batch([]int{7}))
	must(t, w.Flush())
	for range 4 { // two dials fail, then two frames are read: refusals, the second after asking again
		<-refused
	}
	gate := NewGate(1, codec)
	BindInput(p.consumer, ch, gate, 0)
	it := <-gate.Items()
	if got, err := it.Records(); err != nil || len(got) != 1 || got[0] != 7 {
		t.Errorf("got %v, %v", got, err)
	}
	it.Release()
}

// notingReads signals each read that brought something.
type notingReads struct {
	net.Conn
	read chan struct{}
}

func (c notingReads) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.read <- struct{}{}
	}
	return n, err
}

// TestZombie: a producer of another attempt reaches this task process, and is refused (R14).
func TestZombie(t *testing.T) {
	p := newPair(t)
	codec := codecOf[int](t)
	gate := NewGate(1, codec)
	BindInput(p.consumer, p.channel(0, 0, 0), gate, 0)

	stale := p.channel(0, 0, 0)
	stale.Attempt = 7
	if _, err := RemoteOutput(p.producer, stale, p.address, codec); err == nil {
		t.Error("an exchange of attempt 1 has a channel of attempt 7")
	}
	zombie := NewExchange(Config{Job: p.job, Attempt: 7, Log: p.producer.cfg.Log})
	defer zombie.Close()
	out, err := RemoteOutput(zombie, stale, p.address, codec)
	must(t, err)
	w := NewWriter(Forward[int](), []Output[int]{out}, WriterConfig{Context: t.Context()})
	for err = nil; err == nil; { // it ends: the writer blocks, until the refusal comes
		err = w.Batch(numbersUpTo(5000))
	}
	if !strings.Contains(err.Error(), "refuses edge 0 from subtask 0 to 0 of attempt 7") || !strings.Contains(err.Error(), "attempt 1 of job") {
		t.Errorf("got %v", err)
	}
	if err := w.Drain(); err == nil {
		t.Error("Drain says that a refused channel is drained")
	}
	if len(gate.Items()) > 0 {
		t.Error("the gate got records of a zombie")
	}
}

// TestSlowConsumer: a consumer that takes nothing stops its producer after the channel's credits,
// and another channel of the same connection goes on.
func TestSlowConsumer(t *testing.T) {
	p := newPair(t)
	codec := codecOf[int](t)
	var gates [2]*Gate[int]
	var writers [2]*Writer[int]
	ctx, cancel := context.WithCancel(t.Context())
	for i := range gates {
		ch := p.channel(0, 0, i)
		gates[i] = NewGate(1, codec)
		BindInput(p.consumer, ch, gates[i], 0)
		writers[i] = NewWriter(Forward[int](), []Output[int]{remote(t, p, ch, codec)}, WriterConfig{Context: ctx})
	}
	sent := make(chan int)
	go func() {
		batch, n := numbersUpTo(record.BatchSize[int]()), 0
		for writers[0].Batch(batch) == nil {
			n++
		}
		sent <- n
	}()
	go func() {
		must(t, writers[1].Batch(numbersUpTo(100_000)))
		must(t, writers[1].End())
	}()
	if n := consumeAll(gates[1]); n != 100_000 {
		t.Errorf("%d records came past the slow consumer", n)
	}
	var held []Item[int]
	for range DefaultCredits {
		held = append(held, <-gates[0].Items())
	}
	cancel()
	if n := <-sent; n != DefaultCredits {
		t.Errorf("%d batches were sent, expected %d", n, DefaultCredits)
	}
	for i := range held {
		held[i].Release()
	}
}

// TestLargeRecords: a batch that is too large for a frame goes in several, each with its credit.
func TestLargeRecords(t *testing.T) {
	p := newPair(t)
	codec := codecOf[string](t)
	gate := NewGate(1, codec)
	ch := p.channel(0, 0, 0)
	BindInput(p.consumer, ch, gate, 0)
	w := NewWriter(Rebalance[string](), []Output[string]{remote(t, p, ch, codec)}, WriterConfig{Context: t.Context(), Credits: 2})
	const records = 40
	done := make(chan error)
	go func() {
		var batch []string
		for i := range records {
			batch = append(batch, strings.Repeat(string(rune('a'+i%26)), 100<<10+i))
		}
		done <- errors.Join(w.Batch(batch), w.End())
	}()
	for i := 0; ; {
		it := <-gate.Items()
		got, err := it.Records()
		must(t, err)
		if len(got) > 3 {
			t.Errorf("%d records of 100 kB in a frame", len(got))
		}
		for _, s := range got {
			if len(s) != 100<<10+i || s[0] != byte('a'+i%26) {
				t.Fatalf("record %d has %d bytes, of %q", i, len(s), s[0])
			}
			i++
		}
		end := it.Event().Kind == record.End
		it.Release()
		if end {
			if i != records {
				t.Errorf("%d records came", i)
			}
			break
		}
	}
	must(t, <-done)

	w = NewWriter(Forward[string](), []Output[string]{remote(t, p, p.channel(1, 0, 0), codec)}, WriterConfig{Context: t.Context()})
	must(t, w.Batch([]string{strings.Repeat("x", maxFrame)}))
	if err := w.Flush(); err == nil || !strings.Contains(err.Error(), "a record takes 67108") {
		t.Errorf("got %v", err)
	}
}

// TestCloseEndsWaiting: writers return when their exchange is closed, from Batch and from Drain.
func TestCloseEndsWaiting(t *testing.T) {
	p := newPair(t)
	codec := codecOf[int](t)
	w := NewWriter(Forward[int](), []Output[int]{remote(t, p, p.channel(0, 0, 0), codec)}, WriterConfig{Context: t.Context()})
	blocked, drained := make(chan error), make(chan error)
	go func() {
		var err error
		for err == nil {
			err = w.Batch(numbersUpTo(5000))
		}
		blocked <- err
	}()
	ended := NewWriter(Forward[int](), []Output[int]{remote(t, p, p.channel(0, 0, 3), codec)}, WriterConfig{Context: t.Context()})
	must(t, ended.End())
	go func() { drained <- ended.Drain() }()
	unopened := remote(t, p, p.channel(0, 0, 2), codec)
	p.producer.Close()
	late := NewWriter(Forward[int](), []Output[int]{unopened}, WriterConfig{Context: t.Context()})
	if err := errors.Join(late.Batch([]int{1}), late.Flush()); !errors.Is(err, ErrClosed) {
		t.Errorf("writer of a closed exchange: got %v", err)
	}
	if err := <-blocked; !errors.Is(err, ErrClosed) {
		t.Errorf("writer: got %v", err)
	}
	if err := <-drained; !errors.Is(err, ErrClosed) {
		t.Errorf("drain: got %v", err)
	}
	if _, err := RemoteOutput(p.producer, p.channel(0, 0, 1), p.address, codec); !errors.Is(err, ErrClosed) {
		t.Errorf("a channel of a closed exchange: %v", err)
	}
}

// TestMalformed: what is not the protocol ends the connection, at once and without a panic.
func TestMalformed(t *testing.T) {
	ch := Channel{Job: job.NewID(), Attempt: 1}
	open := appendOpen(nil, 5, ch, 1)
	frame := func(h header, payload ...byte) string { return string(append(h.appendTo(nil), payload...)) }
	for name, bytes := range map[string]string{
		"noise":              "GET / HTTP/1.1\r\nHost: here\r\n\r\n",
		"no such kind":       frame(header{kind: 99}),
		"huge":               frame(header{kind: kindData, length: maxFrame + 1}),
		"not open":           frame(header{kind: kindData, channel: 5, seq: 1, length: 4}, 0, 0, 0, 0),
		"of the other side":  frame(header{kind: kindCredit}),
		"a gap":              string(open) + frame(header{kind: kindData, channel: 5, seq: 200, length: 4}, 0, 0, 0, 0),
		"no such event":      string(open) + frame(header{kind: kindEvent, channel: 5, seq: 1, length: 9}, 77, 0, 0, 0, 0, 0, 0, 0, 0),
		"too many credits":   string(appendOpen(nil, 5, ch, 200)),
		"more than credited": string(open) + manyFrames(1+eventCredits+1),
	} {
		t.Run(name, func(t *testing.T) { checkClosed(t, ch, bytes) })
	}
}

// checkClosed sends bytes to an exchange that has ch bound, and expects it to close the connection.
func checkClosed(t *testing.T, ch Channel, bytes string) {
	t.Helper()
	x := NewExchange(Config{Job: ch.Job, Attempt: ch.Attempt, Log: slog.New(slog.DiscardHandler)})
	defer x.Close()
	BindInput(x, ch, NewGate(1, codecOf[int](t)), 0)
	c, err := net.Dial("tcp", listen(t, x).Addr().String())
	must(t, err)
	defer c.Close()
	must(t, WritePreamble(c, Preamble{Job: ch.Job, Attempt: ch.Attempt}))
	_, _ = io.WriteString(c, bytes)
	must(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
	if _, err := io.Copy(io.Discard, c); isTimeout(err) {
		t.Error("the connection stays open")
	}
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

func manyFrames(n int) string {
	var b []byte
	for i := range n {
		b = header{kind: kindData, channel: 5, seq: uint64(i + 1), length: 4}.appendTo(b)
		b = append(b, 0, 0, 0, 0)
	}
	return string(b)
}

func TestPreamble(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	id := newPair(t).job
	go func() {
		_ = WritePreamble(a, Preamble{id, 5, 3})
		_, _ = io.WriteString(a, "!")
		_, _ = io.WriteString(a, strings.Repeat("x", PreambleSize))
	}()
	if got, err := ReadPreamble(b); err != nil || got != (Preamble{id, 5, 3}) {
		t.Errorf("got %v, %v", got, err)
	}
	var next [1]byte
	if _, err := io.ReadFull(b, next[:]); err != nil || next[0] != '!' {
		t.Errorf("what follows the preamble: %q, %v", next, err)
	}
	if _, err := ReadPreamble(b); err == nil || !strings.Contains(err.Error(), "not a data connection") {
		t.Errorf("got %v", err)
	}
	if err := WritePreamble(a, Preamble{Job: "short", Attempt: 1}); err == nil {
		t.Error("a preamble with a malformed job id")
	}
}

// TestDuplicates: a frame that comes twice is delivered once.
func TestDuplicates(t *testing.T) {
	p := newPair(t)
	ch, codec := p.channel(0, 0, 0), codecOf[int](t)
	gate := NewGate(1, codec)
	BindInput(p.consumer, ch, gate, 0)
	c, err := net.Dial("tcp", p.address)
	must(t, err)
	defer c.Close()
	must(t, WritePreamble(c, Preamble{Job: p.job, Attempt: 1}))
	frames := appendOpen(nil, 0, ch, 2)
	for _, seq := range []int{1, 1, 2, 1, 2} {
		payload := codec.Append(nil, []int{seq})
		frames = append(header{kind: kindData, seq: uint64(seq), length: uint32(len(payload))}.appendTo(frames), payload...)
	}
	frames = header{kind: kindEvent, seq: 3, length: eventSize}.appendTo(frames)
	_, err = c.Write(appendEvent(frames, record.Event{Kind: record.End}))
	must(t, err)
	if n := consumeAll(gate); n != 2 {
		t.Errorf("%d records came of 2", n)
	}
}
