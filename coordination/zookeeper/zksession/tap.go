package zksession

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

var errForeign = errors.New("what answers is no ZooKeeper server")

// longestGreeting bounds a server's first packet, which has 37 bytes and the library would
// read into a buffer of whatever length it says.
const longestGreeting = 1 << 10

// alertRecord begins what a TLS server answers to who does not speak TLS.
const alertRecord = 21

// connectResponse is how many bytes of a server's first packet tap needs: its length (4),
// the protocol's version (4), the session timeout in ms (4) and the session's id (8).
const connectResponse = 20

// tap is a connection of the library. Until it has a session no deadline can be set later
// than limit, nor lifted; and it reads along for the session timeout that was granted, which
// the library does not tell, for the session's id, which the library forgets at its end, and
// for which request was answered last, from whose sending the lease counts.
type tap struct {
	net.Conn
	wire   *wire
	server *server
	behind *server // which of those that its name stands for

	mu    sync.Mutex
	limit time.Time       // zero: has a session
	asked []time.Duration // when the requests without a reply were sent, since the wire's start

	first   []byte // of the server's first packet; the library reads in one goroutine
	packets packets
}

// Write sends one request: the library has each in one piece.
func (t *tap) Write(p []byte) (int, error) {
	t.mu.Lock()
	t.asked = append(t.asked, time.Since(t.wire.start))
	t.mu.Unlock()
	return t.Conn.Write(p)
}

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	if n > 0 {
		if foreign := t.greet(p[:n]); foreign != nil {
			n, err = 0, foreign
		}
		t.answered(t.packets.replies(p[:n])) // of which something foreign has none
	}
	if err != nil {
		if isAlert(err) { // TLS 1.3: a server looks at the client's certificate after the handshake
			err = &tlsError{t.server.address, err, t.wire.dialer.prefix}
		}
		t.wire.refused(t, err)
	}
	return n, err
}

// answered notes that so many requests have their replies. A server gives a session's in the order in which they were asked for.
func (t *tap) answered(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n = min(n, len(t.asked)); n > 0 {
		t.wire.heard.Store(int64(t.asked[n-1]))
		t.asked = t.asked[n:]
	}
}

// Close ends the connection under TLS, which would wait for room to say goodbye in.
func (t *tap) Close() error {
	if encrypted, ok := t.Conn.(*tls.Conn); ok {
		return encrypted.NetConn().Close()
	}
	return t.Conn.Close()
}

// greet reads along in the server's first packet.
func (t *tap) greet(p []byte) error {
	if len(t.first) == connectResponse {
		return nil
	}
	t.first = append(t.first, p[:min(len(p), connectResponse-len(t.first))]...)
	if len(t.first) >= 4 && binary.BigEndian.Uint32(t.first) > longestGreeting {
		if _, encrypted := t.Conn.(*tls.Conn); !encrypted && t.first[0] == alertRecord {
			return fmt.Errorf("%w in the clear: it wants TLS; set %stls.enabled", errForeign, t.wire.dialer.prefix)
		}
		return fmt.Errorf("%w: it begins with %q", errForeign, t.first)
	}
	if len(t.first) < connectResponse {
		return nil
	}
	id := int64(binary.BigEndian.Uint64(t.first[12:]))
	if id == 0 {
		return nil // the server says that the session has expired
	}
	t.wire.session.Store(id)
	granted := time.Duration(binary.BigEndian.Uint32(t.first[8:])) * time.Millisecond
	t.wire.granted.Store(int64(granted))
	return nil
}

func (t *tap) SetReadDeadline(d time.Time) error  { return t.Conn.SetReadDeadline(t.capped(d)) }
func (t *tap) SetWriteDeadline(d time.Time) error { return t.Conn.SetWriteDeadline(t.capped(d)) }

func (t *tap) capped(d time.Time) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.limit.IsZero() && (d.IsZero() || d.After(t.limit)) {
		return t.limit
	}
	return d
}

func (t *tap) lift() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.limit = time.Time{}
	// What the library has set already was capped; its loops set their own from here on.
	t.SetDeadline(time.Time{})
}

// packets finds replies in what a server sends: packets of a length and so many bytes, of which the first four say what it
// is the reply to.
type packets struct {
	begin [8]byte // of a packet
	have  int     // of begin
	rest  int     // of the packet after that
}

// event is the number of what is the reply to no request: that something has changed which is watched.
const event = 1<<32 - 1

// replies counts those that begin in p, which follows on what was given before.
func (k *packets) replies(p []byte) (n int) {
	for len(p) > 0 {
		skip := min(k.rest, len(p))
		k.rest -= skip
		p = p[skip:]
		took := copy(k.begin[k.have:], p)
		k.have += took
		p = p[took:]
		if k.have < len(k.begin) {
			continue
		}
		if binary.BigEndian.Uint32(k.begin[4:]) != event {
			n++
		}
		k.have, k.rest = 0, max(0, int(binary.BigEndian.Uint32(k.begin[:]))-4)
	}
	return n
}
