package simulator

import (
	"bytes"
	"encoding/binary"
	"net"
	"slices"

	"github.com/perennial-io/perennial/internal/rpc"
)

// tap reads along what arrives at and from RPC ports, for the checker. It is called under the network's mutex.
type tap struct {
	heard     func(from, to *process, link *conn, h rpc.Header, m rpc.Message)
	beats     func(link *conn) // a TaskManager has sent a heartbeat over its end of a connection
	unframed  map[*pipe][]byte
	instances map[*conn]string // the TaskManager that registered over a connection, by either end
}

func newTap() *tap { return &tap{unframed: map[*pipe][]byte{}, instances: map[*conn]string{}} }

// hear takes in what has arrived, and passes on whole messages.
func (t *tap) hear(p *pipe, b []byte) {
	if p.reader.local == nil || !isRPC(p.reader) {
		return
	}
	all := append(t.unframed[p], b...)
	if bytes.HasPrefix(all, []byte("PRNL")) {
		if len(all) < 8 {
			t.unframed[p] = all
			return
		}
		all = all[8:]
	}
	for len(all) >= 4 {
		size := 4 + int(binary.BigEndian.Uint32(all))
		if len(all) < size {
			break
		}
		t.frame(p, all[:size])
		all = all[size:]
	}
	t.unframed[p] = bytes.Clone(all)
}

func isRPC(c *conn) bool { return port(c.local) == 6123 || port(c.remote) == 6123 }

func port(a *net.TCPAddr) int {
	if a == nil {
		return 0
	}
	return a.Port
}

var commands = [][]byte{[]byte(`"kind":"lead"`), []byte(`"kind":"deploy"`), []byte(`"kind":"stop"`), []byte(`"kind":"confirm"`), []byte(`"kind":"trigger"`), []byte(`"kind":"closed"`)}

// isCommand reports whether a message, as it is written, tells a TaskManager to do something.
func isCommand(frame []byte) bool {
	return slices.ContainsFunc(commands, func(kind []byte) bool { return bytes.Contains(frame, kind) })
}

// What comes often, and is not told.
var heartbeat, progress = []byte(`"kind":"heartbeat"`), []byte(`"kind":"progress"`)

func (t *tap) frame(p *pipe, frame []byte) {
	switch {
	case bytes.Contains(frame, heartbeat):
		if p.from.host.isManager() && t.instances[p.reader] != "" {
			t.beats(p.reader.peer)
		}
		return
	case bytes.Contains(frame, progress):
		return
	}
	h, m, err := rpc.New(frameReader{r: bytes.NewReader(frame)}).Receive()
	if err != nil {
		return // what is no message is for the receiver to refuse
	}
	if r, is := m.(rpc.Register); is {
		t.instances[p.reader], t.instances[p.reader.peer] = r.Instance, r.Instance
	}
	t.heard(p.from, p.to, p.reader, h, m)
}

// frameReader is a message as a connection, for rpc to decode.
type frameReader struct {
	net.Conn
	r *bytes.Reader
}

func (f frameReader) Read(p []byte) (int, error) { return f.r.Read(p) }
