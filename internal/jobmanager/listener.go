package jobmanager

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/perennial-io/perennial/internal/rpc"
	"github.com/perennial-io/perennial/internal/storage"
)

const (
	introduction = 5 * time.Second // a connection has said by then who it is
	maxStrangers = 256             // connections that have not said who they are
)

// listen accepts connections until ctx ends, and returns when all of them have.
func (jm *JobManager) listen(ctx context.Context, ln net.Listener) {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer jm.connections.close()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()

	strangers := make(chan struct{}, maxStrangers)
	for ctx.Err() == nil {
		raw, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			jm.logger().Error("the RPC port cannot accept a connection", "error", err)
			pause(ctx, 100*time.Millisecond) // descriptors may come free
			continue
		}
		select {
		case strangers <- struct{}{}:
			wg.Go(func() { jm.receive(ctx, raw, sync.OnceFunc(func() { <-strangers })) })
		default:
			raw.Close() // whoever is serious dials again
		}
	}
}

// receive is the life of an accepted connection. introduced is called once it is known who is
// there, or that nobody will be.
func (jm *JobManager) receive(ctx context.Context, raw net.Conn, introduced func()) {
	defer raw.Close()
	defer introduced()
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()

	conn, header, first, err := introduce(raw)
	if err != nil {
		if ctx.Err() == nil {
			level := slog.LevelWarn
			if errors.Is(err, rpc.ErrNotPerennial) && errors.Is(err, io.EOF) {
				level = slog.LevelDebug // it said nothing: perennial doctor, or a load balancer, looks whether the port is there
			}
			jm.logger().Log(ctx, level, "closed a connection to the RPC port", "peer", raw.RemoteAddr(), "error", err)
		}
		return
	}
	introduced()
	s := newSession(conn)
	defer s.close()
	switch m := first.(type) {
	case rpc.Register:
		s.register = m
		err = jm.receiveTaskManager(ctx, header, s)
	case rpc.Hello:
		s.hello = m
		err = jm.receiveJobManager(header, s)
	default:
		err = fmt.Errorf("it began with a %s message", first.Kind())
	}
	if err != nil && ctx.Err() == nil {
		jm.logger().Warn("ended a connection", "peer", s.peer(), "of", s.who(), "error", err)
	}
}

// logger names the epoch while this process leads.
func (jm *JobManager) logger() *slog.Logger {
	if l := jm.leading.Load(); l != nil {
		return l.log
	}
	return jm.log
}

// introduce waits for the first message of a connection.
func introduce(raw net.Conn) (*rpc.Conn, rpc.Header, rpc.Message, error) {
	conn, err := rpc.Accepted(raw, introduction)
	if err != nil {
		return nil, rpc.Header{}, nil, err
	}
	if err := conn.SetReadDeadline(time.Now().Add(introduction)); err != nil {
		return nil, rpc.Header{}, nil, err
	}
	header, first, err := conn.Receive()
	if err != nil {
		return nil, rpc.Header{}, nil, err
	}
	return conn, header, first, conn.SetReadDeadline(time.Time{})
}

// receiveTaskManager is the life of a TaskManager's session.
func (jm *JobManager) receiveTaskManager(ctx context.Context, header rpc.Header, s *session) error {
	cluster, err := jm.cluster(ctx)
	if err != nil {
		return err
	}
	if reason := jm.refuseRegistration(cluster, header, s.register); reason != "" {
		_ = s.conn.Send(rpc.Header{Cluster: cluster}, rpc.Refused{Reason: reason})
		if jm.refusals.isNew(s.register.Instance, reason) {
			jm.logger().Warn("refused a TaskManager", "peer", s.peer(), "taskmanager", s.register.Instance, "host", s.register.Host, "reason", reason)
		}
		return nil
	}
	jm.compareClock(s, s.register.Clock)
	var writer sync.WaitGroup
	writer.Go(s.write)
	defer writer.Wait()
	defer s.close()
	s.post(rpc.Header{Cluster: cluster}, jm.welcome())
	if r := jm.connections.enterTaskManager(s); r != nil {
		r.post(entered{s})
	}
	defer func() {
		if r := jm.connections.leaveTaskManager(s); r != nil {
			r.post(left{s})
		}
	}()
	return jm.readTaskManager(cluster, s)
}

// readTaskManager passes on what a TaskManager says. A connection that ends is no error: the
// registry finds out what it means.
func (jm *JobManager) readTaskManager(cluster string, s *session) error {
	for {
		header, m, err := s.conn.Receive()
		if err != nil {
			return nil //nolint:nilerr // see above
		}
		if header.Cluster != cluster {
			return fmt.Errorf("a %s message of cluster %q came, and this is cluster %q", m.Kind(), header.Cluster, cluster)
		}
		s.heard.Store(int64(monotonic()))
		if beat, is := m.(rpc.Heartbeat); is {
			if beat.Load != nil {
				s.load.Store(beat.Load)
			}
			if beat.Asks != nil {
				s.asks.Store(beat.Asks)
			}
			continue
		}
		if answer, ok := m.(rpc.Inspected); ok {
			jm.inspections.answered(answer)
			continue
		}
		if r := jm.connections.current(); r != nil {
			r.post(said{s, m})
		}
	}
}

// refuseRegistration says why a TaskManager cannot take part, or "".
func (jm *JobManager) refuseRegistration(cluster string, header rpc.Header, m rpc.Register) string {
	least := jm.cfg.Pace.now.Load().leastLease()
	switch {
	case m.Lease != 0 && m.Lease < least:
		return fmt.Sprintf("its taskmanager.lease, %v, is too short for the heartbeats here: set it to at least %v, or taskmanager.isolated to run", m.Lease, least)
	case m.Lease > longestLease: // the wait for it would overflow, and be over at once
		return fmt.Sprintf("its taskmanager.lease, %v, is too long: set it to at most %v", m.Lease, longestLease)
	case m.Instance == "" || m.Data == "" || m.Slots < 1:
		return fmt.Sprintf("its registration is incomplete: instance %q, data address %q, %d slots", m.Instance, m.Data, m.Slots)
	case m.Storage != cluster || header.Cluster != cluster:
		return fmt.Sprintf("its storage belongs to cluster %q, and this JobManager's, %s, to cluster %q: storage.dir must be the same directory everywhere",
			m.Storage, jm.cfg.Storage.Dir(), cluster)
	}
	return ""
}

// refusals remembers whom it refused why: they come again every few seconds, and that is no news.
type refusals struct {
	mu   sync.Mutex
	told map[string]string // by instance
}

func (r *refusals) isNew(instance, reason string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.told) >= maxStrangers || r.told == nil {
		r.told = make(map[string]string)
	}
	known := r.told[instance] == reason
	r.told[instance] = reason
	return !known
}

// cluster is the incarnation of the cluster (R16), once there is one.
func (jm *JobManager) cluster(ctx context.Context) (string, error) {
	if c := jm.incarnation.Load(); c != nil {
		return *c, nil
	}
	c, err := jm.cfg.Storage.Incarnation(ctx)
	if errors.Is(err, storage.ErrNotFound) {
		return "", errors.New("no JobManager has led this cluster yet")
	}
	if err != nil {
		return "", fmt.Errorf("read the cluster's incarnation: %w", err)
	}
	jm.incarnation.CompareAndSwap(nil, &c)
	return *jm.incarnation.Load(), nil
}
