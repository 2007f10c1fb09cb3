package jobmanager

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/rpc"
)

// peer is a scripted leader: script is run for each connection, after Hello.
func peer(t *testing.T, script func(*rpc.Conn)) (api.JobManager, net.Listener) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			raw, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, raw)
			mu.Unlock()
			wg.Go(func() {
				conn, err := rpc.Accepted(raw, time.Second)
				if err == nil {
					_, _, err = conn.Receive()
				}
				if err == nil {
					script(conn)
				}
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return api.JobManager{ID: "leader", Address: ln.Addr().String()}, ln
}

func detectorFor(t *testing.T, timeout time.Duration) *detector {
	t.Helper()
	w := newWorld(t)
	cfg, err := Config{ID: "standby", Open: (&node{w: w}).open, Storage: w.storage, HeartbeatTimeout: timeout, HeartbeatInterval: timeout / 5, Logger: w.logger()}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	addr := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
	return &newJobManager(cfg, addr, addr).detector
}

func greetAs(conn *rpc.Conn, id string, lead bool) {
	_ = conn.Send(rpc.Header{Epoch: 1}, rpc.Greeting{ID: id, Lead: lead})
}

func TestDetectorVerdicts(t *testing.T) {
	for _, c := range []struct {
		name   string
		script func(*rpc.Conn, net.Listener)
		want   string
		cause  api.Cause
	}{
		{"dies", func(conn *rpc.Conn, ln net.Listener) { greetAs(conn, "leader", true); ln.Close(); conn.Close() }, "its port refuses connections", api.CauseConnection},
		{"port reused", func(conn *rpc.Conn, _ net.Listener) { greetAs(conn, "other", true) }, "its port answers under another id, other", api.CauseConnection},
		{"hangs up", func(conn *rpc.Conn, _ net.Listener) { conn.Close() }, "it hung up", api.CauseConnection},
		{"does not lead", func(conn *rpc.Conn, _ net.Listener) { greetAs(conn, "leader", false); conn.Close() }, "it says that it does not lead", api.CauseHeartbeat},
		{"freezes", func(conn *rpc.Conn, _ net.Listener) { greetAs(conn, "leader", true) }, "it was silent for 50ms", api.CauseHeartbeat},
		{"is frozen", func(*rpc.Conn, net.Listener) {}, "it does not answer", api.CauseHeartbeat},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := detectorFor(t, 50*time.Millisecond)
			var ln net.Listener
			ready := make(chan struct{})
			leader, l := peer(t, func(conn *rpc.Conn) { <-ready; c.script(conn, ln) })
			ln = l
			close(ready)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if got, _ := d.watch(ctx, leader); !strings.HasPrefix(got.reason, c.want) || got.cause != c.cause {
				t.Errorf("verdict %q, %s, want %q, %s", got.reason, got.cause, c.want, c.cause)
			}
		})
	}
}

// A port that is closed as it is dialed resets the connection, which is as good as a refusal.
func TestDetectorIsReset(t *testing.T) {
	d := detectorFor(t, 5*time.Second)
	d.cfg.Dial = func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNRESET)}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if got, _ := d.watch(ctx, api.JobManager{ID: "leader", Address: "127.0.0.1:1"}); got != (suspicion{api.CauseConnection, "it hung up"}) {
		t.Errorf("%+v", got)
	}
}

// A leader of a release with which this one cannot talk is alive: this process is the wrong one.
func TestDetectorOfAnotherRelease(t *testing.T) {
	d := detectorFor(t, 50*time.Millisecond)
	leader := foreign(t, rpc.Protocol+2)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	reason, wrong := d.watch(ctx, leader)
	if _, is := errors.AsType[*WrongClusterError](wrong); !is || reason.reason != "" || !strings.Contains(wrong.Error(), "upgrade in steps") {
		t.Errorf("verdict %q, %v", reason.reason, wrong)
	}
}

// foreign is a leader that speaks another version of the protocol.
func foreign(t *testing.T, version int) api.JobManager {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			raw, err := ln.Accept()
			if err != nil {
				return
			}
			frame := fmt.Sprintf(`{"kind":"refused","protocol":%d,"body":{}}`, version)
			_, _ = raw.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...))
			_, _ = io.Copy(io.Discard, raw)
			raw.Close()
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return api.JobManager{ID: "leader", Address: ln.Addr().String()}
}

// A leader that beats is held on to, also when a connection breaks or it is late to say that
// it leads.
func TestDetectorTrustsALivingLeader(t *testing.T) {
	d := detectorFor(t, 200*time.Millisecond)
	connections := make(chan int, 1)
	connections <- 0
	done := make(chan struct{})
	leader, _ := peer(t, func(conn *rpc.Conn) {
		n := <-connections + 1
		connections <- n
		if n > 6 {
			return // the test is over
		}
		greetAs(conn, "leader", n > 3)
		if n <= 3 {
			conn.Close()
			return
		}
		for seq := range uint64(20) {
			if conn.Send(rpc.Header{Epoch: 1}, rpc.Heartbeat{Seq: seq}) != nil {
				return
			}
			if _, m, err := conn.Receive(); err != nil || m != (rpc.Heartbeat{Seq: seq}) {
				t.Errorf("answer to heartbeat %d: %v, %v", seq, m, err)
				return
			}
		}
		conn.Close()
		if n == 6 {
			close(done)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	verdict := make(chan suspicion, 1)
	go func() { got, _ := d.watch(ctx, leader); verdict <- got }()
	select {
	case <-done:
		cancel()
		if got := <-verdict; got.reason != "" {
			t.Errorf("suspected: %s", got.reason)
		}
	case got := <-verdict:
		cancel()
		t.Errorf("suspected: %q", got.reason)
	}
}

// Two wrong takeovers in a minute make the detector patient (L2).
func TestDetectorBacksOff(t *testing.T) {
	d := detectorFor(t, 50*time.Millisecond)
	for i, want := range []time.Duration{50 * time.Millisecond, 500 * time.Millisecond} {
		d.replacing("old", 7)
		d.leads(coordination.Leadership{Epoch: 6, ID: "old", Alive: true}) // heard late
		d.met("somebody else")
		d.met("old")
		d.met("old") // counts once
		d.leads(coordination.Leadership{Epoch: 8, ID: "old", Alive: true})
		if got := d.timeout(); got != want {
			t.Errorf("after %d wrong suspicions: %v, want %v", i+1, got, want)
		}
	}
	d.wrong[0] = d.wrong[0].Add(-2 * wrongWithin)
	if got := d.timeout(); got != 50*time.Millisecond {
		t.Errorf("a minute later: %v", got)
	}
	d.replacing("old", 9)
	d.leads(coordination.Leadership{Epoch: 10, ID: "old", Alive: true}) // it claims again: it lives
	if !d.backsOff() {
		t.Error("a leader that claims again was not dead")
	}
}

// A leader that answers nothing is given longer by a process that has not met it: its own way to it may be broken.
func TestDetectorIsPatientWithStrangers(t *testing.T) {
	const timeout = 50 * time.Millisecond
	d := detectorFor(t, timeout)
	leader, _ := peer(t, func(*rpc.Conn) {})
	began := time.Now()
	s, _ := d.watch(t.Context(), leader)
	if took := time.Since(began); s.cause != api.CauseHeartbeat || took < patience*timeout {
		t.Errorf("suspected after %v: %s", took, s.reason)
	}
}
