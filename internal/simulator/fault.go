package simulator

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"github.com/perennial-io/perennial/internal/storage"
	"github.com/perennial-io/perennial/internal/taskmanager"
)

// putBinary stores what a client would upload: nobody ever runs it.
func putBinary(s *storage.Storage) (string, error) {
	b := []byte("a job")
	sum := sha256.Sum256(b)
	name := hex.EncodeToString(sum[:])
	return name, s.PutArtifact(context.Background(), name, bytes.NewReader(b))
}

// befall does a fault, and puts its end on the agenda. One that finds nobody whom it could befall does nothing.
func (w *world) befall(f Fault) {
	f.Target, f.Other = w.resolve(f.Target), w.resolve(f.Other)
	if traits[f.Kind].target && f.Target == "" || traits[f.Kind].other && (f.Other == "" || f.Other == f.Target) {
		return
	}
	undo := w.faultDoer(f)
	if undo == nil {
		return
	}
	w.faults[f.Kind]++
	w.note("-- %v", f)
	if f.For > 0 {
		w.at(min(f.At+f.For, w.plan.Length), undo)
	}
}

// resolve finds who leads, or nobody.
func (w *world) resolve(name string) string {
	if name != leaderRole {
		return name
	}
	jms, _ := w.plan.hosts()
	for _, h := range jms {
		w.mu.Lock()
		api := w.hosts[h].process.api
		w.mu.Unlock()
		if api != nil && w.isUp(w.hosts[h]) && api.Self().Role == leaderRole {
			return h
		}
	}
	return ""
}

// faultDoer does a fault, and returns what ends it; nil: there was nothing to do.
func (w *world) faultDoer(f Fault) (undo func()) {
	h := w.hosts[f.Target]
	nothing := func() {}
	switch f.Kind {
	case Kill, PowerOff, Stop:
		return w.end(f, h)
	case Freeze:
		if !w.isUp(h) {
			return nil
		}
		p := h.process
		p.freeze(true)
		return func() { p.freeze(false) }
	case Partition:
		w.net.cut(f.Target, f.Other)
		w.net.cut(f.Other, f.Target)
		return func() { w.net.mend(f.Target, f.Other); w.net.mend(f.Other, f.Target) }
	case OneWay:
		w.net.cut(f.Target, f.Other)
		return func() { w.net.mend(f.Target, f.Other) }
	case Delay:
		w.net.delay(f.Target, f.Other, f.By, true)
		w.net.delay(f.Other, f.Target, f.By, true)
		return func() { w.net.delay(f.Target, f.Other, f.By, false); w.net.delay(f.Other, f.Target, f.By, false) }
	case Reset:
		w.net.reset(h.process)
		return nothing
	case CutCoordination, LoseReplies, SlowCoordination:
		return w.relink(f, f.Target)
	case QuorumLost:
		jms, tms := w.plan.hosts()
		return w.relink(f, append(jms, tms...)...)
	case Repeat:
		if !w.net.repeat(h.process, w.hosts[f.Other]) {
			return nil
		}
		return nothing
	case ExpireSession:
		h.process.expire()
		return nothing
	case KillTask:
		return w.killTask(h.process)
	case SlowDisk:
		w.disk.change(f.By, 0)
		return func() { w.disk.change(-f.By, 0) }
	case DiskAway:
		w.disk.change(0, 1)
		return func() { w.disk.change(0, -1) }
	case JumpClock:
		c := &h.process.clock
		c.jump(f.By)
		return func() { c.jump(0) }
	}
	return nil
}

// end ends a process, which is started again.
func (w *world) end(f Fault, h *host) func() {
	if !w.isUp(h) {
		return nil
	}
	if f.Kind == Stop {
		w.stop(h)
		w.bequeath(h)
	} else {
		w.bequeath(h)
		w.kill(h, f.Kind == PowerOff)
	}
	return func() { w.power(h) }
}

// relink changes hosts' ways to coordination, and back. A session that is cut off for too long ends.
func (w *world) relink(f Fault, hosts ...string) func() {
	change := func(by int) {
		for _, h := range hosts {
			w.mu.Lock()
			l := w.links[h]
			switch f.Kind {
			case LoseReplies:
				l.mute += by
			case SlowCoordination:
				l.slow += f.By * time.Duration(by)
			default:
				l.cut += by
			}
			w.links[h] = l
			w.mu.Unlock()
			for _, s := range w.sessions(h) {
				l.impose(s)
			}
		}
	}
	change(1)
	if f.Kind == CutCoordination && f.For > sessionTimeout {
		for _, h := range hosts {
			for _, s := range w.sessions(h) {
				w.at(f.At+sessionTimeout, s.Expire)
			}
		}
	}
	return func() { change(-1) }
}

// killTask kills a task process of a TaskManager, if it has any.
func (w *world) killTask(p *process) func() {
	w.mu.Lock()
	tasks := slices.DeleteFunc(slices.Clone(p.tasks), func(t *task) bool { return !t.alive() })
	w.mu.Unlock()
	if len(tasks) == 0 {
		return nil
	}
	tasks[int(w.between(0, 1000))%len(tasks)].die(taskmanager.KilledBySignal + "9 (killed)")
	return func() {}
}
