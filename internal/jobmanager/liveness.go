package jobmanager

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/rpc"
)

// recordRetention is how long the record of a dead TaskManager is kept.
const recordRetention = 24 * time.Hour

// farewell is the reason of a TaskManager that has ended by itself, and has said so.
const farewell = "it said that it ends"

// farewellReason names what such a TaskManager had to kill, too.
func farewellReason(m rpc.Farewell) string {
	if len(m.Killed) == 0 {
		return farewell
	}
	return farewell + "; it killed " + strings.Join(m.Killed, ", and ")
}

// probeTimeout bounds a dial to a data port: only a refusal says something.
const probeTimeout = time.Second

// tick sends heartbeats and looks for TaskManagers that have died.
func (r *registry) tick(ctx context.Context) {
	now := monotonic()
	paused := now-r.ticked > r.cfg.heartbeatInterval()+r.cfg.heartbeatTimeout()/2
	r.ticked = now
	if paused && !r.validating {
		r.validate(ctx)
	}
	r.sequence++
	r.confirm(ctx)
	for _, m := range r.managers {
		r.elapse(m)
		if m.led {
			m.session.post(r.header, rpc.Heartbeat{Seq: r.sequence, Renews: r.renewal(m)})
			r.retire(m)
		}
		if m.record.State == live && !r.validating {
			r.examine(m, now)
		}
	}
	r.dispatch()
	r.forgetDead()
}

// forgetDead deletes the records of TaskManagers that died long ago, some at a time: a takeover reads what is left. What a
// running job was assigned to is kept.
func (r *registry) forgetDead() {
	if r.forgetting {
		return
	}
	var ops []coordination.Op
	for instance, m := range r.managers {
		old := m.record.State == dead && m.session == nil && time.Since(m.record.Ended) > recordRetention
		if old && len(r.holders(instance)) == 0 && len(ops) < forgetBatch {
			ops = append(ops, coordination.Delete(taskManagersPrefix+instance, m.version))
			delete(r.managers, instance)
		}
	}
	if len(ops) == 0 {
		return
	}
	r.forgetting = true
	r.wg.Go(func() {
		if _, err := r.term.Commit(r.ctx, ops...); err != nil {
			r.fail(fmt.Errorf("forget dead TaskManagers: %w", err))
		}
		r.post(forgotDead{})
	})
}

// forgotDead: the deletion of some records has ended.
type forgotDead struct{}

func (forgotDead) apply(r *registry) { r.forgetting = false }

// validate asks whether this process still leads after a pause of its own, in which nobody
// could be heard, before the silence of others means anything (R11).
func (r *registry) validate(ctx context.Context) {
	r.validating = true
	r.log.Warn("this process was held up; it asks whether it still leads before it judges others")
	r.wg.Go(func() {
		for r.checks.Current(ctx) != nil { // coordination may be away at this moment
			if ctx.Err() != nil {
				return
			}
			pause(ctx, r.cfg.heartbeatInterval())
		}
		r.post(validated{})
	})
}

// validated: the epoch was in force after the pause. Everybody's silence counts anew.
type validated struct{}

func (validated) apply(r *registry) {
	r.validating = false
	for _, m := range r.managers {
		m.seen = monotonic()
		if m.session != nil {
			m.session.heard.Store(int64(m.seen))
		}
	}
}

// examine declares a TaskManager dead that was silent for too long, and looks at the data port
// of one that is not connected.
func (r *registry) examine(m *taskManager, now time.Duration) {
	if m.session != nil {
		if silent := m.session.silent(); m.led && silent > r.cfg.taskManagerTimeout() {
			r.declare(m, fmt.Sprintf("it was silent for %v", silent.Round(time.Millisecond)), unheard)
		}
		return
	}
	if silent := now - m.seen; silent > r.cfg.taskManagerTimeout() {
		r.declare(m, fmt.Sprintf("it did not connect for %v", silent.Round(time.Millisecond)), unheard)
		return
	}
	r.probe(m)
}

// probe dials the data port of a TaskManager whose connection has ended. A refusal is its death;
// anything else means that the time-out decides, as it does for one that a new leader has not
// met yet: that one may just be dialing.
func (r *registry) probe(m *taskManager) {
	if !m.met || m.probing || m.doom != "" {
		return
	}
	m.probing = true
	r.wg.Go(func() {
		c, err := r.cfg.dial(r.ctx, m.record.Data, probeTimeout)
		if err == nil {
			c.Close()
		}
		r.post(probed{m, err != nil && isRefusal(err)})
	})
}

// probed: a dial to a data port has ended.
type probed struct {
	m       *taskManager
	refused bool
}

func (h probed) apply(r *registry) {
	h.m.probing = false
	if h.refused && h.m.session == nil {
		r.declare(h.m, "its connection ended and its data port refuses", unheard)
	}
}

// declare commits the death of a TaskManager, before anything else follows from it (R3, R4). From here on this leader renews its
// lease no more.
func (r *registry) declare(m *taskManager, reason string, how fate) {
	if m.record.State == dead || m.doom != "" {
		r.learn(m, how)
		return
	}
	m.doom, m.fate = reason, how
	level, text := slog.LevelWarn, "a TaskManager is declared dead"
	if how == leftInOrder {
		level, text = slog.LevelInfo, "a TaskManager has left"
	}
	r.log.Log(r.ctx, level, text, "taskmanager", m.instance, "host", m.record.Host, "reason", reason)
	if m.busy {
		return // committed will go on
	}
	if m.version == coordination.NoVersion { // it was never used, so nobody needs to know
		delete(r.managers, m.instance)
		return
	}
	record := m.record
	record.State, record.Reason, record.Ended = dead, reason, time.Now().UTC()
	record.Planned, record.Proved = how == leftInOrder, how == provedEnded
	r.commitRecord(m, record)
}

// commitRecord writes a TaskManager's record, and posts committed.
func (r *registry) commitRecord(m *taskManager, record taskManagerRecord) {
	if m.busy {
		return
	}
	m.busy = true
	value, err := json.Marshal(record)
	if err != nil {
		panic(err) // strings, a number and a time
	}
	op := put(taskManagersPrefix+m.instance, value, m.version)
	r.wg.Go(func() {
		versions, err := r.term.Commit(r.ctx, op)
		if err != nil {
			r.fail(fmt.Errorf("commit TaskManager %s as %s: %w", m.instance, record.State, err))
			return
		}
		r.post(committed{m, record, versions[0]})
	})
}

// committed: a TaskManager's record is in force.
type committed struct {
	m       *taskManager
	record  taskManagerRecord
	version coordination.Version
}

func (h committed) apply(r *registry) {
	m := h.m
	m.busy, m.record, m.version = false, h.record, h.version
	if m.asked != nil {
		m.asked <- nil
		m.asked = nil
	}
	if m.record.State == live {
		if reason := m.doom; reason != "" {
			m.doom = ""
			r.declare(m, reason, m.fate)
			return
		}
		if m.record.Draining {
			r.drains(m)
		} else {
			r.log.Info("registered a TaskManager", "taskmanager", m.instance, "host", m.record.Host, "data", m.record.Data, "slots", m.record.Slots)
		}
		if !m.led { // it is new, or has connected anew meanwhile
			r.lead(m)
		}
		return
	}
	m.led, m.ready = false, false
	r.awaitLease(m)
	for id := range r.holders(m.instance) {
		r.tell(id, r.death(m))
	}
	r.replan(m.instance)
	if m.session != nil {
		r.refuse(m)
	}
}
