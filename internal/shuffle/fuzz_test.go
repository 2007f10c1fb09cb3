package shuffle

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
)

const fuzzJob = job.ID("0123456789abcdef0123456789abcdef")

// script is a connection whose peer says what it has to say, and hears nothing.
type script struct {
	net.Conn // nil: nothing else is called
	says     io.Reader
}

func (s script) Read(b []byte) (int, error)  { return s.says.Read(b) }
func (s script) Write(b []byte) (int, error) { return len(b), nil }
func (s script) Close() error                { return nil }
func (s script) RemoteAddr() net.Addr        { return &net.TCPAddr{} }

func quiet() Config { return Config{Job: fuzzJob, Attempt: 1, Log: slog.New(slog.DiscardHandler)} }

// FuzzProducer plays a producer that sends anything: the consumer's side neither panics nor
// waits, and delivers no more than its gate has room for.
func FuzzProducer(f *testing.F) {
	ch := Channel{Job: fuzzJob, Edge: 1, From: 2, To: 3, Attempt: 1}
	open := appendOpen(nil, 5, ch, 1)
	f.Add([]byte{})
	f.Add(append(bytes.Clone(open), manyFrames(2)...))
	f.Add(header{kind: kindData, length: maxFrame}.appendTo(bytes.Clone(open)))
	f.Add(appendEvent(header{kind: kindEvent, channel: 5, seq: 1, length: eventSize}.appendTo(bytes.Clone(open)), record.Event{Kind: record.End}))
	codec, err := record.CodecOf[int]()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, says []byte) {
		x := NewExchange(quiet())
		gate := NewGate(1, codec)
		BindInput(x, ch, gate, 0)
		x.Accept(script{says: bytes.NewReader(says)})
		x.wg.Wait() // the script ends, and so does its connection
		for range len(gate.Items()) {
			it := <-gate.Items()
			_, _ = it.Records()
			it.Release()
		}
		x.Close()
	})
}

// FuzzConsumer plays a consumer that answers anything.
func FuzzConsumer(f *testing.F) {
	answer := func(h header, payload ...byte) []byte { return append(h.appendTo(nil), payload...) }
	f.Add(answer(header{kind: kindAccept, seq: 2, length: 8}, 0, 0, 0, 0, 0, 0, 0, 1))
	f.Add(answer(header{kind: kindCredit, seq: 2}))
	f.Add(append(answer(header{kind: kindAccept, length: 8}, 0, 0, 0, 0, 0, 0, 0, 0), // credit for what was not written
		answer(header{kind: kindCredit, seq: 2})...))
	f.Add(answer(header{kind: kindRefuse, length: 3}, 1, 'n', 'o'))
	f.Add(answer(header{kind: kindRefuse, length: 1}, 0))
	f.Fuzz(func(t *testing.T, says []byte) {
		x := NewExchange(quiet())
		defer x.Close()
		l := &link{x: x, wake: make(chan struct{}, 1)}
		o := &outbound{link: l, next: 1, credits: 3, onFailure: func(error) {}}
		l.add(o)
		freed := 0
		for range 3 {
			fr := &frame{bytes: make([]byte, headerSize+eventSize), free: func() { freed++ }}
			if err := o.push(fr, kindEvent); err != nil {
				t.Fatal(err)
			}
		}
		l.begin()
		w := frameWriter{}
		l.collect(&w)
		a := &answerReader{link: l, done: make(chan struct{})}
		a.run(script{says: bytes.NewReader(says)})
		l.collect(&w)
		if freed+len(o.window) != 3 {
			t.Errorf("%d frames are freed and %d kept, of 3", freed, len(o.window))
		}
	})
}

func FuzzPreamble(f *testing.F) {
	f.Add([]byte(preambleMagic + string(fuzzJob) + "\x00\x00\x00\x02\x00\x00\x00\x01"))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, says []byte) {
		a, b := net.Pipe()
		defer b.Close()
		ctx, done := context.WithCancel(context.Background())
		go func() {
			defer done()
			_, _ = a.Write(says)
			_ = a.Close()
		}()
		p, err := ReadPreamble(b)
		_ = b.Close()
		<-ctx.Done()
		if err == nil && (string(says[8:40]) != string(p.Job) || p.Region != int(binary.BigEndian.Uint32(says[40:])) || p.Attempt != job.Attempt(binary.BigEndian.Uint32(says[44:]))) {
			t.Errorf("%q gives %+v", says, p)
		}
	})
}
