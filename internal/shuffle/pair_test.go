package shuffle

import (
	"io"
	"log/slog"
	"math/rand"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
)

// pair is two exchanges of one attempt, of which one dials the other.
type pair struct {
	producer, consumer *Exchange
	address            string
	job                job.ID
}

func newPair(t testing.TB) *pair {
	t.Helper()
	id := job.NewID()
	cfg := Config{Job: id, Attempt: 1, Log: slog.New(slog.DiscardHandler)}
	p := &pair{producer: NewExchange(cfg), consumer: NewExchange(cfg), job: id}
	p.address = listen(t, p.consumer).Addr().String()
	t.Cleanup(func() {
		p.producer.Close()
		p.consumer.Close()
	})
	return p
}

func (p *pair) channel(edge, from, to int) Channel {
	return Channel{Job: p.job, Edge: edge, From: from, To: to, Attempt: 1}
}

// listen does what a TaskManager does for a task process.
func listen(t testing.TB, x *Exchange) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := ReadPreamble(c); err != nil {
				_ = c.Close()
				continue
			}
			x.Accept(c)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l
}

func remote[T any](t testing.TB, p *pair, ch Channel, codec *record.Codec[T]) Output[T] {
	t.Helper()
	out, err := RemoteOutput(p.producer, ch, p.address, codec)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// cutter is a proxy that cuts connections after random numbers of bytes, in either direction, so many times.
type cutter struct {
	target string
	cuts   atomic.Int64
	l      net.Listener
	wg     sync.WaitGroup

	mu     sync.Mutex
	conns  []net.Conn
	closed bool
}

func newCutter(t testing.TB, target string, cuts int) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{target: target, l: l}
	c.cuts.Store(int64(cuts))
	c.wg.Go(c.run)
	t.Cleanup(func() {
		_ = l.Close()
		c.end()
		c.wg.Wait()
	})
	return c
}

func (c *cutter) run() {
	random := rand.New(rand.NewSource(7))
	for {
		from, err := c.l.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", c.target)
		if err != nil {
			_ = from.Close()
			continue
		}
		forth, back := int64(random.Intn(200<<10)), int64(random.Intn(3<<10))
		if c.cuts.Add(-1) < 0 {
			forth, back = 1<<62, 1<<62
		}
		if !c.keep(from, to) {
			return
		}
		c.wg.Go(func() { pipe(to, from, forth) })
		c.wg.Go(func() { pipe(from, to, back) })
	}
}

func (c *cutter) keep(from, to net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, from, to)
	if c.closed {
		_, _ = from.Close(), to.Close()
	}
	return !c.closed
}

func (c *cutter) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// pipe copies at most n bytes and then ends both connections.
func pipe(to, from net.Conn, n int64) {
	_, _ = io.CopyN(to, from, n)
	_ = to.Close()
	_ = from.Close()
}
