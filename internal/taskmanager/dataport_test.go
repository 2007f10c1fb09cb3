package taskmanager

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/job"
)

// Bytes that follow the preamble at once reach the task process whole, and its answer comes back.
func TestDataConnectionIsHandedOver(t *testing.T) {
	m, id := startManager(t, nil), job.NewID()
	jm := newJobManager(t, "jm", 1)
	m.announce(jm)
	l, _ := jm.lead()

	early := dialData(t, l.register.Data, id, 1) // before there is a task process
	sent := make([]byte, 1<<20)
	if _, err := rand.Read(sent); err != nil {
		t.Fatal(err)
	}
	for i := range sent {
		if sent[i] == '\n' {
			sent[i] = ' '
		}
	}
	sent[len(sent)-1] = '\n'
	wrote := make(chan error, 1)
	go func() { _, err := early.Write(sent); wrote <- err }()
	l.running(id, 1, "run")
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(early, got); err != nil {
		t.Fatal(err)
	}
	if err := <-wrote; err != nil || !bytes.Equal(got, sent) {
		t.Errorf("write: %v; the bytes are the same: %v", err, bytes.Equal(got, sent))
	}
	for range 20 { // several at once, one process
		l.tellTask(id, 1, "hello")
	}
}

func TestDataPortClosesWhatIsNotForIt(t *testing.T) {
	var log lockedBuilder
	m := startManager(t, func(c *Config) {
		c.Timeouts.Preamble, c.Timeouts.Process = 200*time.Millisecond, 50*time.Millisecond
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	jm := newJobManager(t, "jm", 1)
	m.announce(jm)
	l, _ := jm.lead()
	id := job.NewID()
	l.running(id, 2, "run")
	defer func() {
		m.stop() // so that all has been logged
		for _, want := range []string{"the sender's host resolves the name of another TaskManager to this address", "it is no data connection"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log does not say that %q:\n%s", want, log.String())
			}
		}
	}()
	for name, b := range map[string][]byte{
		"silence":       {},
		"garbage":       bytes.Repeat([]byte("GET / HTTP/1.1\r\n"), 100),
		"too short":     preamble(id, 2)[:47],
		"no id":         preamble("0123456789ABCDEF0123456789ABCDEF", 2),
		"lower attempt": preamble(id, 1), // R14: a zombie producer
		"other region":  append(preamble(id, 2)[:40], 0, 0, 0, 1, 0, 0, 0, 2),
		"unknown job":   preamble(job.NewID(), 2),
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", l.register.Data)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write(b); err != nil {
				t.Fatal(err)
			}
			n, err := c.Read(make([]byte, 1))
			if e, ok := err.(net.Error); n != 0 || err == nil || ok && e.Timeout() {
				t.Errorf("the connection is not closed: %d bytes, %v", n, err)
			}
		})
	}
	l.tellTask(id, 2, "still there")
}

func FuzzParsePreamble(f *testing.F) {
	f.Add(preamble(job.NewID(), 7))
	f.Add(make([]byte, preambleSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != preambleSize {
			return
		}
		k, err := parsePreamble([preambleSize]byte(b))
		if err == nil && (k.region == 0 && !bytes.Equal(preamble(k.job, k.attempt), b) || k.region != int(binary.BigEndian.Uint32(b[40:]))) {
			t.Errorf("%q was taken for %v", b, k)
		}
	})
}

// lockedBuilder is a log that several goroutines write.
type lockedBuilder struct {
	mu sync.Mutex
	strings.Builder
}

func (b *lockedBuilder) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Builder.Write(p)
}

func (b *lockedBuilder) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Builder.String()
}
