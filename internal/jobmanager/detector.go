package jobmanager

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/rpc"
)

const (
	// wrongInARow takeovers within wrongWithin that found the old leader alive make the
	// detector slower by the factor patience, until they are past (L2).
	wrongInARow = 2
	wrongWithin = time.Minute
	patience    = 10
)

// detector tells whether a leader has died, by a connection that it holds to it. Its verdict may
// be wrong at any time: that costs a change of leader, which disturbs no task.
type detector struct {
	*JobManager

	mu       sync.Mutex
	replaced string             // id of the leader that this process replaced last on suspicion
	by       coordination.Epoch // by which it did so
	wrong    []time.Time        // when a leader so replaced was found alive
}

// suspicion is why a leader seems dead. Without a reason it does not.
type suspicion struct {
	cause  api.Cause
	reason string
}

// watch holds a connection to a leader until ctx ends (the zero suspicion) or it is suspected, and says why.
// Fastest first: a connection that breaks and a redial that is refused; an answer under
// another id; silence. A leader that this process has not met yet is given longer: its own way to it may be what is broken, as
// that of a host which is just coming back. A *WrongClusterError or *MovedError is about this process, and no suspicion.
func (d *detector) watch(ctx context.Context, leader api.JobManager) (s suspicion, wrong error) {
	began := time.Now() // of the time in which nothing was heard of it as a leader
	met := false
	for ctx.Err() == nil {
		conn, verdict, err := d.greet(ctx, leader)
		_, misplaced := errors.AsType[*WrongClusterError](err)
		switch {
		case ctx.Err() != nil:
			return suspicion{}, nil
		case misplaced:
			return suspicion{}, err
		case verdict != "" && (!d.backsOff() || time.Since(began) > d.timeout()):
			return suspicion{api.CauseConnection, verdict}, nil
		case verdict != "": // it was wrong of late, so it is looked into for longer
		case err == nil:
			if s, wrong := d.hold(ctx, conn); s.reason != "" || wrong != nil {
				return s, wrong
			}
			began, met = time.Now(), true
			continue // redial
		case time.Since(began) > d.silence(met):
			return suspicion{api.CauseHeartbeat, err.Error()}, nil
		}
		pause(ctx, d.cfg.heartbeatInterval()/5)
	}
	return suspicion{}, nil
}

// greet dials the leader. A verdict says that it does not live or lead; an error that it did not
// say so in this try.
func (d *detector) greet(ctx context.Context, leader api.JobManager) (conn *rpc.Conn, verdict string, err error) {
	raw, err := d.cfg.dial(ctx, leader.Address, d.timeout())
	if err != nil {
		switch {
		case isRefusal(err):
			return nil, "its port refuses connections", nil
		case isEnd(err): // its kernel took the connection, and closes the port
			return nil, "it hung up", nil
		}
		return nil, "", fmt.Errorf("it cannot be reached: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	header, greeting, conn, err := d.hello(raw)
	switch {
	case err == nil && greeting.ID != leader.ID:
		verdict = "its port answers under another id, " + greeting.ID
	case err == nil && d.misplaced(ctx, header):
		err = &WrongClusterError{fmt.Sprintf("storage.dir %s belongs to cluster %s, and the leader, %s, to cluster %s: storage.dir must be the same directory everywhere",
			d.cfg.Storage.Dir(), d.standbyHeader().Cluster, leader.ID, header.Cluster)}
	case errors.Is(err, rpc.ErrNotPerennial): // it lives, and there is no taking over from it
		err = &WrongClusterError{fmt.Sprintf("the leader, JobManager %s at %s, is of another release: %v", leader.ID, leader.Address, err)}
	case err == nil && !greeting.Lead:
		err = errors.New("it says that it does not lead") // not yet, perhaps: its claim is just being answered
	case err != nil && isEnd(err):
		verdict = "it hung up" // the last breath of a process that is dying
	}
	if err != nil || verdict != "" {
		raw.Close()
		return nil, verdict, err
	}
	return conn, "", nil
}

func (d *detector) hello(raw net.Conn) (h rpc.Header, greeting rpc.Greeting, conn *rpc.Conn, err error) {
	if conn, err = rpc.Dialed(raw); err != nil {
		return h, greeting, nil, err
	}
	if err := conn.Send(d.standbyHeader(), rpc.Hello{ID: d.cfg.ID, REST: d.self.REST, Since: *d.standingBy.Load(), Clock: time.Now().UTC()}); err != nil {
		return h, greeting, nil, err
	}
	if err := conn.SetReadDeadline(time.Now().Add(d.timeout())); err != nil {
		return h, greeting, nil, err
	}
	h, m, err := conn.Receive()
	if err != nil {
		return h, greeting, nil, fmt.Errorf("it does not answer: %w", err)
	}
	greeting, ok := m.(rpc.Greeting)
	if !ok {
		return h, greeting, nil, fmt.Errorf("it answered with a %s message", m.Kind())
	}
	return h, greeting, conn, nil
}

// misplaced reports whether this process's storage is known to belong to another cluster than
// a leader's message (R16). It must not depose that leader, nor stand by for it.
func (d *detector) misplaced(ctx context.Context, h rpc.Header) bool {
	ctx, cancel := context.WithTimeout(ctx, d.timeout()) // a storage that is away must not blind the detector
	defer cancel()
	own, err := d.cluster(ctx)
	return err == nil && h.Cluster != "" && h.Cluster != own
}

// hold reads heartbeats, and answers them, and learns which plans to have at hand, until the connection ends (the zero suspicion: redial) or the
// leader is silent, wants to be succeeded, or says that the cluster has left.
func (d *detector) hold(ctx context.Context, conn *rpc.Conn) (s suspicion, wrong error) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	late := false
	for {
		last := d.cfg.heartbeatInterval() / 2
		wait := d.timeout() - last
		if late {
			wait = last
		}
		if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return suspicion{}, nil
		}
		h, m, err := conn.Receive()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && late:
			return suspicion{api.CauseHeartbeat, fmt.Sprintf("it was silent for %v", d.timeout())}, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			late = true // one more read: this process may have been held up itself
			continue
		case err != nil:
			return suspicion{}, nil
		}
		late = false
		switch m := m.(type) {
		case rpc.Heartbeat:
			if err := conn.Send(d.standbyHeader(), m); err != nil {
				return suspicion{}, nil
			}
		case rpc.Plans:
			d.shelf.want(m.Names)
		case rpc.Released:
			d.vacancies.released(h.Epoch, m)
		case rpc.Succeed:
			return handedOver(m.Reason), nil
		case rpc.Moved:
			return suspicion{}, &MovedError{m.Reason}
		}
	}
}

func (jm *JobManager) standbyHeader() rpc.Header {
	if c := jm.incarnation.Load(); c != nil {
		return rpc.Header{Cluster: *c}
	}
	return rpc.Header{}
}

// timeout is the heartbeat timeout, longer after suspicions that were wrong.
func (d *detector) timeout() time.Duration {
	if d.backsOff() {
		return patience * d.cfg.heartbeatTimeout()
	}
	return d.cfg.heartbeatTimeout()
}

// silence is for how long a leader may not be reached.
func (d *detector) silence(met bool) time.Duration {
	if met {
		return d.timeout()
	}
	return patience * d.cfg.heartbeatTimeout()
}

// backsOff reports whether suspicions were wrong of late: then no sign of death is believed at once.
func (d *detector) backsOff() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	recent := 0
	for _, t := range d.wrong {
		if time.Since(t) < wrongWithin {
			recent++
		}
	}
	return recent >= wrongInARow
}

// replacing notes whom this process replaces on suspicion; met then tells whether that one lived:
// it says Hello, or claims again.
func (d *detector) replacing(id string, by coordination.Epoch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.replaced, d.by = id, by
}

// leads notes who leads. (News of an epoch before this process's own come late and prove nothing.)
func (d *detector) leads(l coordination.Leadership) {
	d.mu.Lock()
	later := l.Epoch > d.by
	d.mu.Unlock()
	if later {
		d.met(l.ID)
	}
}

// met notes that a JobManager is alive.
func (d *detector) met(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if id == "" || id != d.replaced {
		return
	}
	d.replaced = ""
	d.wrong = append(d.wrong, time.Now())
	d.wrong = d.wrong[max(0, len(d.wrong)-wrongInARow):]
	d.log.Warn("the leader that was replaced is alive: the suspicion was wrong", "previous", id, "epoch", d.by, "recently", len(d.wrong))
}

// receiveJobManager is the life of a connection that another JobManager has opened: it is told who
// is here, and while this process leads, that it lives.
func (jm *JobManager) receiveJobManager(header rpc.Header, s *session) error {
	greeting := rpc.Greeting{ID: jm.cfg.ID}
	answer := jm.standbyHeader()
	if l := jm.leading.Load(); l != nil {
		greeting.Lead, answer = true, l.header
	}
	if err := s.conn.Send(answer, greeting); err != nil {
		return nil //nolint:nilerr // whoever asked has gone
	}
	if header.Cluster != "" && answer.Cluster != "" && header.Cluster != answer.Cluster {
		return fmt.Errorf("JobManager %s at %s belongs to cluster %q, and this one, with storage.dir %s, to cluster %q: storage.dir must be the same directory everywhere",
			s.hello.ID, s.hello.REST, header.Cluster, jm.cfg.Storage.Dir(), answer.Cluster)
	}
	jm.compareClock(s, s.hello.Clock)
	jm.detector.met(s.hello.ID)
	jm.connections.enterStandby(s)
	defer jm.connections.leaveStandby(s)
	var writer sync.WaitGroup
	writer.Go(s.write)
	defer writer.Wait()
	defer s.close()
	for {
		if _, _, err := s.conn.Receive(); err != nil {
			return nil //nolint:nilerr // a standby that goes away is no error
		}
		s.heard.Store(int64(monotonic()))
	}
}
