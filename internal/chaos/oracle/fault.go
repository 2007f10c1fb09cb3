package oracle

import (
	"os"
	"path/filepath"
	"slices"

	"github.com/perennial-io/perennial/internal/jobmanager/execution"
)

// faults by name. Each tells whether it could be done.
var faults = []struct {
	name string
	do   func(*world) bool
}{
	{"process killed", (*world).killProcess},
	{"TaskManager killed", (*world).killManager},
	{"TaskManager wrongly declared dead", (*world).declareDead},
	{"TaskManager cut off", (*world).cutOff},
	{"leader killed", (*world).killLeader},
	{"data connections cut", (*world).cutData},
	{"storage away", (*world).takeStorage},
	{"checkpoint damaged", (*world).damage},
}

// fault does one.
func (w *world) fault() {
	f := faults[w.draw.IntN(len(faults))]
	if f.do(w) {
		w.note("%s", f.name)
		w.result.Faults[f.name]++
	}
}

// some is a TaskManager that runs something.
func (w *world) some() *manager {
	busy := slices.DeleteFunc(slices.Clone(w.managers), func(m *manager) bool { return len(m.running()) == 0 })
	if len(busy) == 0 {
		return nil
	}
	return busy[w.draw.IntN(len(busy))]
}

func (w *world) killProcess() bool {
	m := w.some()
	if m == nil {
		return false
	}
	running := m.running()
	running[w.draw.IntN(len(running))].kill()
	return true
}

func (w *world) killManager() bool {
	m := w.some()
	if m == nil {
		return false
	}
	m.disconnect()
	m.kill()
	m.killed = true
	w.join()
	w.after(w.soon()*10, func() { w.dead(m) })
	return true
}

// declareDead lets the TaskManager's tasks run on for a while, beside their successors.
func (w *world) declareDead() bool {
	m := w.some()
	if m == nil {
		return false
	}
	m.disconnect()
	w.join()
	w.dead(m)
	w.zombies = append(w.zombies, m)
	w.after(w.soon()*20, m.kill)
	return true
}

// disconnect cuts the TaskManager off from the leader.
func (m *manager) disconnect() {
	m.connected = false
	m.w.tell(execution.Gone{Instance: m.name})
}

// dead commits a death: no leader hears of the TaskManager any more.
func (w *world) dead(m *manager) {
	w.managers = slices.DeleteFunc(w.managers, func(other *manager) bool { return other == m })
	w.buried = append(w.buried, m.name)
	w.tell(execution.Dead{Instance: m.name, Reason: "it was silent"})
}

// cutOff parts a TaskManager and the leader for a while.
func (w *world) cutOff() bool {
	m := w.some()
	if m == nil || !m.connected {
		return false
	}
	m.disconnect()
	w.after(w.soon()*10, func() {
		if slices.Contains(w.managers, m) && !m.killed {
			m.connected = true
			m.report()
		}
	})
	return true
}

func (w *world) killLeader() bool {
	if w.exec == nil {
		return false
	}
	w.depose("at some moment")
	return true
}

func (w *world) cutData() bool {
	w.network.cut()
	return true
}

// takeStorage has everything about checkpoints fail for a while.
func (w *world) takeStorage() bool {
	if w.away != nil {
		return false
	}
	var err error
	if w.away, err = w.spoils.TakeAway(); err != nil {
		w.fail("take the storage away: %v", err)
		return false
	}
	w.after(w.soon()*10, w.returnStorage)
	return true
}

func (w *world) returnStorage() {
	if w.away == nil {
		return
	}
	if err := w.away(); err != nil {
		w.fail("bring the storage back: %v", err)
	}
	w.away = nil
}

// damage spoils the newest checkpoint of a bounded job, and has all of it needed: the next one that is taken may refer to
// it, and is damaged too. (An unbounded one makes visible once more what came after the one before.)
func (w *world) damage() bool {
	done := w.intent.Completed
	if w.Want > 0 || len(done) < 2 || w.away != nil || w.some() == nil || w.damaged[done[0].Checkpoint] || w.damaged[done[1].Checkpoint] {
		return false
	}
	files, err := filepath.Glob(filepath.Join(w.spoils.Dir, filepath.Dir(done[0].Manifest), "*"))
	if err != nil || len(files) == 0 {
		w.fail("no files beside %s: %v", done[0].Manifest, err)
		return false
	}
	w.damaged[done[0].Checkpoint] = true
	if err := spoil(files[w.draw.IntN(len(files))], w.draw.IntN(3)); err != nil {
		w.fail("damage: %v", err)
	}
	for _, m := range slices.Clone(w.managers) {
		m.kill()
	}
	return true
}

// spoil removes, cuts or changes a file.
func spoil(path string, how int) error {
	b, err := os.ReadFile(path)
	switch {
	case err != nil:
		return err
	case how == 0 || len(b) == 0:
		return os.Remove(path)
	case how == 1:
		return os.Truncate(path, int64(len(b)-1))
	}
	b[len(b)/2] ^= 4
	return os.WriteFile(path, b, 0o644)
}
