package rpc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/perennial-io/perennial/internal/job"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pipe returns both ends of a loopback connection, and closes them after the test.
func pipe(t *testing.T) (dialed, accepted net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialed, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialed.Close(); accepted.Close() })
	return dialed, accepted
}

// A peer of the release before or after is taken, and both speak the lower version; further apart is told apart
// from a stranger.
func TestOtherProtocol(t *testing.T) {
	for _, test := range []struct {
		peer    int
		version int // 0: refused
	}{{Protocol - 2, 0}, {Protocol - 1, Protocol - 1}, {Protocol, Protocol}, {Protocol + 1, Protocol}, {Protocol + 2, 0}} {
		a, b := pipe(t)
		if _, err := a.Write(append(begins[:], byte(test.peer))); err != nil {
			t.Fatal(err)
		}
		told := make(chan int, 1)
		if test.version == 0 { // it is told why before the connection ends
			go func(a net.Conn) {
				f, _ := New(a).readFrame()
				told <- f.Protocol
				a.Close()
			}(a)
		}
		c, err := Accepted(b, 10*time.Second)
		if test.version == 0 && <-told != Protocol {
			t.Errorf("a peer of version %d is not told of %d", test.peer, Protocol)
		}
		says := fmt.Sprintf("speaks version %d of it, and this program %d", test.peer, Protocol)
		switch {
		case test.version == 0 && (!errors.Is(err, ErrNotPerennial) || !strings.Contains(err.Error(), says)):
			t.Errorf("accepted a connection of version %d: %v", test.peer, err)
		case test.version > 0 && (err != nil || c.Version() != test.version):
			t.Errorf("with version %d: %v", test.peer, err)
		}

		if test.peer == 0 {
			continue // a frame without a version is not the first
		}
		a, b = pipe(t)
		dialed, err := Dialed(a)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Write(frameOf(fmt.Sprintf(`{"kind":"welcome","protocol":%d,"body":{"id":"x"}}`, test.peer))); err != nil {
			t.Fatal(err)
		}
		_, _, err = dialed.Receive()
		switch {
		case test.version == 0 && (!errors.Is(err, ErrNotPerennial) || !strings.Contains(err.Error(), says)):
			t.Errorf("dialed a peer of version %d: %v", test.peer, err)
		case test.version > 0 && (err != nil || dialed.Version() != test.version):
			t.Errorf("dialed a peer of version %d: %v", test.peer, err)
		}
	}
}

func TestMessagesArriveAsSent(t *testing.T) {
	a, b := pipe(t)
	from, err := Dialed(a)
	if err != nil {
		t.Fatal(err)
	}
	to, err := Accepted(b, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	header := Header{Cluster: "c", Epoch: 7}
	sent := []Message{
		Hello{ID: "a"},
		Deploy{Instance: "tm", Attempt: 3, Slots: []int{0, 2}, Peers: map[string]string{"0": "x:1"}, Spec: job.Spec{ID: "j", Args: []string{"--input", "ü"}}},
		Status{AttemptReport{Job: "j", Attempt: 3, Subtasks: []SubtaskReport{{Subtask: job.Subtask{Vertex: 1, Index: 2}, State: job.Finished, Outputs: []job.Output{{Temp: "a", Final: "b"}}}}, Failure: "killed"}},
		Lead{},
	}
	for _, m := range sent {
		if err := from.Send(header, m); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range sent {
		h, got, err := to.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if h != header || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v %+v, want %+v", h, got, want)
		}
	}
}

func TestStrangersAreRefused(t *testing.T) {
	for _, said := range []string{"GET / HTTP/1.1\r\n\r\n", "PRNLdat1", "x"} {
		a, b := pipe(t)
		if _, err := a.Write([]byte(said)); err != nil {
			t.Fatal(err)
		}
		a.Close()
		if _, err := Accepted(b, time.Second); !errors.Is(err, ErrNotPerennial) {
			t.Errorf("%q: %v, want ErrNotPerennial", said, err)
		}
	}
}

// frameOf is a frame with this body, as it is on the wire.
func frameOf(body string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

func TestMalformedInput(t *testing.T) {
	tests := []struct {
		name  string
		bytes []byte
		want  string
	}{
		{"a length over the limit", []byte{0xff, 0xff, 0xff, 0xff}, "at most"},
		{"no JSON", frameOf("hello"), "malformed message"},
		{"a body of another shape", frameOf(`{"kind":"hello","body":[1]}`), "malformed hello"},
		{"no body", frameOf(`{"kind":"hello"}`), "malformed hello"},
		{"cut short", frameOf(`{"kind":"lead","body":{}}`)[:9], "unexpected EOF"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a, b := pipe(t)
			if _, err := a.Write(test.bytes); err != nil {
				t.Fatal(err)
			}
			a.Close()
			if _, _, err := New(b).Receive(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Receive: %v, want %q", err, test.want)
			}
		})
	}
}

// TestNewerPeer: what a newer version says beyond this one's words is passed over.
func TestNewerPeer(t *testing.T) {
	a, b := pipe(t)
	for _, f := range []string{`{"kind":"sing","body":{"song":1}}`, `{"kind":"hello","mood":"good","body":{"id":"n","colour":"red"}}`} {
		if _, err := a.Write(frameOf(f)); err != nil {
			t.Fatal(err)
		}
	}
	if _, m, err := New(b).Receive(); err != nil || m != (Hello{ID: "n"}) {
		t.Errorf("Receive: %+v, %v", m, err)
	}
}

func TestTooLongIsNotSent(t *testing.T) {
	a, _ := pipe(t)
	if err := New(a).Send(Header{}, Hello{ID: strings.Repeat("x", MaxFrame)}); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("Send: %v", err)
	}
}

func FuzzReceive(f *testing.F) {
	f.Add(frameOf(`{"kind":"hello","body":{"id":"n"}}`))
	f.Add(frameOf(`{"kind":"report","epoch":1,"body":{"attempts":[{"job":"j"}]}}`))
	f.Add([]byte{0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		c := New(readOnly{bytes.NewReader(data)})
		for {
			if _, _, err := c.Receive(); err != nil {
				return
			}
		}
	})
}

type readOnly struct{ io.Reader }

func (readOnly) Write([]byte) (int, error)        { return 0, io.ErrClosedPipe }
func (readOnly) Close() error                     { return nil }
func (readOnly) LocalAddr() net.Addr              { return nil }
func (readOnly) RemoteAddr() net.Addr             { return nil }
func (readOnly) SetDeadline(time.Time) error      { return nil }
func (readOnly) SetReadDeadline(time.Time) error  { return nil }
func (readOnly) SetWriteDeadline(time.Time) error { return nil }
