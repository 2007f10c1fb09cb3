package rpc

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// MaxFrame bounds a message on the wire, in bytes. A longer one closes the connection before
// it is read.
const MaxFrame = 4 << 20

// protocol is Protocol as the linker can set it: tests make two releases of one tree.
var protocol = "2"

// Protocol is the version of what is said. JobManagers and TaskManagers of one version before and one after are taken,
// so that a cluster can be upgraded one process after the other; both ends of a connection then speak the lower version
// (Conn.Version). Task processes are as old as their job's binary: see OldestTask.
var Protocol = func() int {
	n, err := strconv.Atoi(protocol)
	if err != nil || n < 1 || n > 255 {
		panic("rpc: the linker set protocol to " + protocol)
	}
	return n
}()

// OldestTask is the lowest version that task processes may speak: that of the oldest release of this major version.
const OldestTask = 2

// begins is how a control connection begins, from the dialing side; one byte follows, its Protocol. The accepting side
// tells its own in the first frame.
var begins = [7]byte{'P', 'R', 'N', 'L', 'c', 't', 'l'}

// checkVersion refuses a peer that is more than one version away.
func checkVersion(peer int) error {
	if peer < Protocol-1 || peer > Protocol+1 {
		return fmt.Errorf("%w that this program does: it speaks version %d of it, and this program %d; one release apart is the most: upgrade in steps", ErrNotPerennial, peer, Protocol)
	}
	return nil
}

// ErrNotPerennial says that the peer does not speak this protocol.
var ErrNotPerennial = errors.New("rpc: peer does not speak the control protocol")

// ErrTooLarge says that a message was not sent, as it is longer than MaxFrame. The connection is as good as
// before.
var ErrTooLarge = errors.New("rpc: message too large")

const writeTimeout = 5 * time.Second

var kinds = func() map[string]reflect.Type {
	m := map[string]reflect.Type{}
	for _, v := range []Message{
		Hello{}, Greeting{}, Heartbeat{}, Moved{}, Plans{}, Released{}, Succeed{}, Register{}, Report{}, Status{}, Progress{}, Planned{}, Stopped{},
		Farewell{}, Welcome{}, Refused{}, Lead{}, Plan{}, Deploy{}, Stop{}, Confirm{}, Start{}, Ready{}, Cancel{},
		Trigger{}, Closed{}, Drain{}, Acknowledge{}, Retire{}, Inspect{}, Inspected{}, Lease{},
	} {
		m[v.Kind()] = reflect.TypeOf(v)
	}
	return m
}()

// frame is a message as it travels: a length (4 bytes, big endian), then this as JSON.
// Unknown fields are ignored and unknown kinds skipped, so that a newer peer can say more.
type frame struct {
	Header
	Protocol int             `json:"protocol,omitempty"` // of the sender, in its first frame
	Kind     string          `json:"kind"`
	Body     json.RawMessage `json:"body"`
}

// Conn carries messages both ways. Send may be called from several goroutines,
// Receive from one.
type Conn struct {
	net.Conn
	r      *bufio.Reader
	dialed bool         // the other side tells its version in its first frame
	peer   atomic.Int32 // version of the peer; 0: not known yet

	mu    sync.Mutex // serialises writes
	spoke bool       // the first frame was sent
}

// Dialed returns the connection of the side that dialed: it sends the magic first.
func Dialed(c net.Conn) (*Conn, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return nil, err
	}
	if _, err := c.Write(append(begins[:], byte(Protocol))); err != nil {
		return nil, err
	}
	conn := New(c)
	conn.dialed = true
	return conn, nil
}

// Accepted returns the connection of the side that accepted: it expects the magic within d.
func Accepted(c net.Conn, d time.Duration) (*Conn, error) {
	if err := c.SetReadDeadline(time.Now().Add(d)); err != nil {
		return nil, err
	}
	var got [8]byte
	if _, err := io.ReadFull(c, got[:]); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotPerennial, err)
	}
	if [7]byte(got[:7]) != begins {
		return nil, fmt.Errorf("%w: it began with %q", ErrNotPerennial, got[:])
	}
	if err := checkVersion(int(got[7])); err != nil {
		refuse(c, err)
		return nil, err
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	conn := New(c)
	conn.peer.Store(int32(got[7]))
	return conn, nil
}

// refuse tells a peer of another release which version is spoken here. It would take a connection that just ends for
// a death: a JobManager would take over from a leader with which it cannot talk, and lose all its TaskManagers. What it has said
// already is read, until it hangs up or its time is over, as the answer might get lost otherwise.
func refuse(c net.Conn, why error) {
	if New(c).Send(Header{}, Refused{Reason: why.Error()}) == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(c, MaxFrame))
	}
}

// Version is what both ends speak: the lower of their versions, as far as this one knows.
func (c *Conn) Version() int {
	if peer := int(c.peer.Load()); peer > 0 {
		return min(peer, Protocol)
	}
	return Protocol
}

// New returns a connection that needs no magic: a socket pair between parent and child.
func New(c net.Conn) *Conn { return &Conn{Conn: c, r: bufio.NewReaderSize(c, 16<<10)} }

// Send writes one message, or fails within seconds; after a failure the connection is useless.
func (c *Conn) Send(h Header, m Message) error {
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode %s: %w", m.Kind(), err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	said := frame{Header: h, Kind: m.Kind(), Body: body}
	if !c.spoke {
		said.Protocol = Protocol
	}
	f, err := json.Marshal(said)
	if err != nil {
		return fmt.Errorf("encode %s: %w", m.Kind(), err)
	}
	if len(f) > MaxFrame {
		return fmt.Errorf("%w: %s message has %d bytes; at most %d can be sent", ErrTooLarge, m.Kind(), len(f), MaxFrame)
	}
	buf := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(f)), uint32(len(f)))
	buf = append(buf, f...)
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	c.spoke = true
	_, err = c.Write(buf)
	return err
}

// Receive reads the next message of a known kind. It blocks until one comes, the read deadline
// passes or the connection ends. Malformed or oversized input is an error, and ends the connection.
func (c *Conn) Receive() (Header, Message, error) {
	for {
		f, err := c.readFrame()
		if err != nil {
			return Header{}, nil, err
		}
		if err := c.hear(f.Protocol); err != nil {
			return Header{}, nil, err
		}
		t, known := kinds[f.Kind]
		if !known {
			continue
		}
		m := reflect.New(t)
		if err := json.Unmarshal(f.Body, m.Interface()); err != nil {
			return Header{}, nil, fmt.Errorf("malformed %s message: %w", f.Kind, err)
		}
		return f.Header, m.Elem().Interface().(Message), nil
	}
}

// hear takes note of the peer's version, where a frame tells it. That of a task process is looked at in its Ready.
func (c *Conn) hear(version int) error {
	if version == 0 || !c.dialed {
		return nil
	}
	c.peer.Store(int32(min(version, 256)))
	return checkVersion(version)
}

func (c *Conn) readFrame() (frame, error) {
	var n [4]byte
	if _, err := io.ReadFull(c.r, n[:]); err != nil {
		return frame{}, err
	}
	size := binary.BigEndian.Uint32(n[:])
	if size > MaxFrame {
		return frame{}, fmt.Errorf("message of %d bytes; at most %d are accepted: is that the control port of a Perennial process?", size, MaxFrame)
	}
	buf := make([]byte, size)
	if _, err := io.ReadFull(c.r, buf); err != nil {
		return frame{}, err
	}
	var f frame
	if err := json.Unmarshal(buf, &f); err != nil {
		return frame{}, fmt.Errorf("malformed message: %w", err)
	}
	return f, nil
}
