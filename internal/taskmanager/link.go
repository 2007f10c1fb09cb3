package taskmanager

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/rpc"
)

// postBox bounds the messages that wait to be sent over one link.
const postBox = 256

// keepAlive finds out within about four seconds that a host is gone. A standby says nothing
// for as long as it stands by, so silence alone tells nothing about it.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 2 * time.Second, Interval: time.Second, Count: 2}

// link is a connection over which a JobManager has welcomed this instance.
// Its dialer reads, its writer sends; post, finish, roomy, load, led and warned belong to the table.
type link struct {
	addr    string
	id      string             // of the JobManager
	others  []rpc.Whereabouts  // the JobManagers that it knows of
	cluster string             // its incarnation, which is ours
	epoch   coordination.Epoch // that came with the welcome; 0 from a standby
	conn    *rpc.Conn
	out     chan letter
	done    bool               // nothing more is posted
	load    *rpc.Load          // that was told last
	led     coordination.Epoch // under which Lead came over it last; 0: under none
	warned  coordination.Epoch // the refusal of a lower epoch was logged at this one
}

type letter struct {
	h rpc.Header
	m rpc.Message
}

// post queues a message. A JobManager that takes nothing for so long that the queue is full
// loses the connection: what it missed is in the Report that follows its next Lead.
func (l *link) post(h rpc.Header, m rpc.Message) {
	if l.done {
		return
	}
	select {
	case l.out <- letter{h, m}:
	default:
		l.finish()
		l.conn.Close()
	}
}

// roomy reports whether there is room for what may be lost.
func (l *link) roomy() bool { return len(l.out) < postBox/2 }

// finish lets the writer end, and with it the connection, once all that was posted is sent.
func (l *link) finish() {
	if !l.done {
		l.done = true
		close(l.out)
	}
}

// write is the writer's goroutine.
func (l *link) write() {
	defer l.conn.Close()
	for p := range l.out {
		if err := l.conn.Send(p.h, p.m); err != nil {
			l.conn.Close() // the reader notices; what is queued is dropped quickly
		}
	}
}

// errRefused says that a JobManager does not take this TaskManager.
var errRefused = errors.New("refused")

// refusal is a Refused that answered a registration.
type refusal struct {
	h rpc.Header
	m rpc.Refused
}

func (r refusal) Error() string   { return r.m.Reason }
func (r refusal) Is(e error) bool { return e == errRefused }

// register opens a link. It gives up when ctx ends.
func (n *node) register(ctx context.Context, addr string, as rpc.Register) (*link, error) {
	cluster, err := n.incarnation(ctx)
	if err != nil {
		return nil, err
	}
	if cluster == "" {
		return nil, fmt.Errorf("no JobManager has led a cluster with the storage %s yet; storage.dir must be the same directory everywhere", n.cfg.Storage.Dir())
	}
	raw, err := n.dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	release := context.AfterFunc(ctx, func() { raw.Close() })
	defer release()
	l, err := n.greet(raw, cluster, as)
	if err != nil {
		raw.Close()
		return nil, err
	}
	l.addr = addr
	return l, nil
}

func (n *node) dial(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.Timeouts.Dial)
	defer cancel()
	return n.cfg.Dial(ctx, "tcp", addr)
}

func (n *node) greet(raw net.Conn, cluster string, as rpc.Register) (*link, error) {
	conn, err := rpc.Dialed(raw)
	if err != nil {
		return nil, err
	}
	as.Storage, as.Clock = cluster, time.Now().UTC()
	if err := conn.Send(rpc.Header{Cluster: cluster}, as); err != nil {
		return nil, err
	}
	if err := conn.SetReadDeadline(time.Now().Add(n.cfg.Timeouts.Register)); err != nil {
		return nil, err
	}
	h, m, err := conn.Receive()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("it hung up when this TaskManager registered; its log says why")
	}
	if err != nil {
		return nil, fmt.Errorf("no answer to the registration: %w", err)
	}
	if refused, ok := m.(rpc.Refused); ok {
		return nil, refusal{h, refused}
	}
	welcome, ok := m.(rpc.Welcome)
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: it answered the registration with %q", errRefused, m.Kind())
	case h.Cluster != cluster:
		return nil, fmt.Errorf("%w: it belongs to cluster %s, and this TaskManager's storage %s to cluster %s; storage.dir must be the same directory everywhere", errRefused, h.Cluster, n.cfg.Storage.Dir(), cluster)
	}
	l := &link{id: welcome.ID, others: welcome.JobManagers, cluster: cluster, conn: conn, epoch: h.Epoch, out: make(chan letter, postBox)}
	return l, conn.SetReadDeadline(time.Time{})
}

// registration is what an instance says of itself, but for the storage that it has.
func (n *node) registration(instance string, replaces []rpc.Predecessor) rpc.Register {
	return rpc.Register{
		Instance: instance, Host: n.host(), PID: os.Getpid(), Slots: n.cfg.Slots, Data: n.data,
		OS: runtime.GOOS, Arch: runtime.GOARCH, Version: n.cfg.Version, Replaces: replaces, Lease: n.cfg.Lease,
	}
}

// host is how others know this one.
func (n *node) host() string { return cmp.Or(n.cfg.Host, hostname()) }

// read passes on what the JobManager says until the connection ends. Once it has shown itself
// as a leader by a heartbeat, its silence ends the connection too.
func (l *link) read(silence time.Duration, pass func(event)) error {
	leads := false
	for {
		if leads {
			if err := l.conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
				return err
			}
		}
		h, m, err := l.conn.Receive()
		if err != nil {
			return err
		}
		if h.Cluster != l.cluster {
			return fmt.Errorf("%w: a %s message of cluster %q", errRefused, m.Kind(), h.Cluster)
		}
		if _, ok := m.(rpc.Heartbeat); ok {
			leads = true
		}
		pass(received{l, h, m})
	}
}
