package testensemble

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// Proxy lies between one client and the ensemble: one listener for each server. It can
// lose replies, hold everything back, and end the client's session. It ends with the test.
type Proxy struct {
	t TB
	// Dial connects to a server; set it before the first Serve, if it is not by TCP.
	Dial func(server string) (net.Conn, error)
	// User is user:password of the client, if the ensemble asks for one.
	User string
	// Arrived holds a token after the client has sent something.
	Arrived chan struct{}

	listeners []net.Listener
	running   sync.WaitGroup

	mu      sync.Mutex
	losing  bool
	open    chan struct{} // closed while bytes pass
	links   map[*link]bool
	ended   bool
	session session         // the newest
	ids     map[uint64]bool // of all sessions
}

// link is one connection of the client with the one to its server.
type link struct {
	client, server net.Conn
	missed         bool // a reply; guarded by the proxy's mutex
}

// session is what it takes to speak for the client.
type session struct {
	server   string
	id       uint64
	password [16]byte
}

// NewProxy lies before these servers: host:port, separated by commas.
func NewProxy(t TB, servers string) *Proxy {
	t.Helper()
	p := NewSilentProxy(t)
	for _, server := range strings.Split(servers, ",") {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Fatal(err)
		}
		p.Serve(l, server)
	}
	return p
}

// NewSilentProxy listens nowhere yet.
func NewSilentProxy(t TB) *Proxy {
	p := &Proxy{t: t, open: make(chan struct{}), links: make(map[*link]bool), ids: make(map[uint64]bool), Arrived: make(chan struct{}, 1)}
	p.Dial = func(server string) (net.Conn, error) { return net.Dial("tcp", server) }
	close(p.open)
	t.Cleanup(p.close)
	return p
}

// Serve forwards what l accepts to server.
func (p *Proxy) Serve(l net.Listener, server string) {
	p.listeners = append(p.listeners, l)
	p.running.Go(func() { p.accept(l, server) })
}

// Addresses is what the client is to connect to.
func (p *Proxy) Addresses() string {
	var addrs []string
	for _, l := range p.listeners {
		addrs = append(addrs, l.Addr().String())
	}
	return strings.Join(addrs, ",")
}

// Server is the one that the session is with.
func (p *Proxy) Server() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.session.server
}

// PeerSerial is the serial number of the certificate that the client has shown last.
func (p *Proxy) PeerSerial() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k := range p.links {
		if c, ok := k.client.(*tls.Conn); ok && len(c.ConnectionState().PeerCertificates) > 0 {
			return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
		}
	}
	return ""
}

// Sessions counts those that the client has had.
func (p *Proxy) Sessions() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.ids)
}

func (p *Proxy) close() {
	for _, l := range p.listeners {
		l.Close()
	}
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.Heal()
	p.Drop()
	p.running.Wait()
}

func (p *Proxy) accept(l net.Listener, server string) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		upstream, err := p.Dial(server)
		if err != nil {
			client.Close()
			continue
		}
		k := &link{client: client, server: upstream}
		p.mu.Lock()
		if p.ended {
			k.close()
		}
		p.links[k] = true
		p.mu.Unlock()
		p.running.Go(func() { p.forward(k) })
		p.running.Go(func() { p.back(k, server) })
	}
}

func (k *link) close() {
	k.client.Close()
	k.server.Close()
}

// Drop ends the client's connections.
func (p *Proxy) Drop() { p.drop(func(*link) bool { return true }) }

// drop closes the links that which names.
func (p *Proxy) drop(which func(*link) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k := range p.links {
		if which(k) {
			k.close()
			delete(p.links, k)
		}
	}
}

// gate waits while the client is cut off.
func (p *Proxy) gate() {
	p.mu.Lock()
	open := p.open
	p.mu.Unlock()
	<-open
}

func (p *Proxy) forward(k *link) {
	defer k.close()
	buf := make([]byte, 64<<10)
	for {
		n, err := k.client.Read(buf)
		select {
		case p.Arrived <- struct{}{}:
		default:
		}
		p.gate()
		if n > 0 {
			if _, err := k.server.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *Proxy) back(k *link, server string) {
	defer k.close()
	greeting := make([]byte, 40) // length, protocol, timeout, id, length of password, password
	if _, err := io.ReadFull(k.server, greeting); err != nil {
		return
	}
	p.mu.Lock()
	if id := binary.BigEndian.Uint64(greeting[12:]); id != 0 {
		p.session = session{server: server, id: id, password: [16]byte(greeting[24:])}
		p.ids[id] = true
	}
	p.mu.Unlock()
	if !p.reply(k, greeting) {
		return
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := k.server.Read(buf)
		if n > 0 && !p.reply(k, buf[:n]) || err != nil {
			return
		}
	}
}

// reply passes bytes on to the client, or loses them.
func (p *Proxy) reply(k *link, bytes []byte) bool {
	p.gate()
	p.mu.Lock()
	losing := p.losing
	k.missed = k.missed || losing
	p.mu.Unlock()
	if losing {
		return true
	}
	_, err := k.client.Write(bytes)
	return err == nil
}

// LoseReplies lets requests pass and no replies until restore.
func (p *Proxy) LoseReplies() (restore func()) {
	p.mu.Lock()
	p.losing = true
	p.mu.Unlock()
	return func() {
		p.drop(func(k *link) bool { return k.missed })
		p.mu.Lock()
		p.losing = false
		p.mu.Unlock()
	}
}

// Cut holds everything back until heal.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = make(chan struct{})
}

// Heal ends Cut.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.open:
	default:
		close(p.open)
	}
}

// opCloseSession is ZooKeeper's request to end the session of the connection.
const opCloseSession = -11

// opAuth is ZooKeeper's request to be taken for somebody.
const opAuth = 100

func authentication(user string) []byte {
	const scheme = "digest"
	auth := binary.BigEndian.AppendUint32(nil, uint32(20+len(scheme)+len(user))) // bytes that follow
	auth = binary.BigEndian.AppendUint32(auth, 1<<32-4)                          // number of such requests
	auth = binary.BigEndian.AppendUint32(auth, opAuth)                           // its kind
	auth = binary.BigEndian.AppendUint32(auth, 0)                                // unused
	auth = append(binary.BigEndian.AppendUint32(auth, uint32(len(scheme))), scheme...)
	return append(binary.BigEndian.AppendUint32(auth, uint32(len(user))), user...)
}

// Expire ends the client's session as the ensemble would: over a connection of its own
// that takes the session over. The client is then disconnected, so that it learns of it.
func (p *Proxy) Expire() {
	p.t.Helper()
	p.mu.Lock()
	s := p.session
	p.mu.Unlock()
	conn, err := p.Dial(s.server)
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		p.t.Fatal(err)
	}
	connect := binary.BigEndian.AppendUint32(nil, 44)              // bytes that follow
	connect = binary.BigEndian.AppendUint32(connect, 0)            // protocol
	connect = binary.BigEndian.AppendUint64(connect, 0)            // last transaction seen
	connect = binary.BigEndian.AppendUint32(connect, 10_000)       // timeout, ms
	connect = binary.BigEndian.AppendUint64(connect, s.id)         //
	connect = binary.BigEndian.AppendUint32(connect, 16)           // bytes of password
	connect = append(connect, s.password[:]...)                    //
	bye := binary.BigEndian.AppendUint32(nil, 8)                   // bytes that follow
	bye = binary.BigEndian.AppendUint32(bye, 1)                    // number of the request
	bye = binary.BigEndian.AppendUint32(bye, 1<<32+opCloseSession) // its kind
	requests := [][]byte{connect, bye}
	if p.User != "" {
		requests = [][]byte{connect, authentication(p.User), bye}
	}
	for _, request := range requests {
		if _, err := conn.Write(request); err != nil {
			p.t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 20)); err != nil && !errors.Is(err, io.EOF) {
			p.t.Fatal(err)
		}
	}
	p.Drop()
}
