package simulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/perennial-io/perennial/internal/checkpoint"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/output"
	"github.com/perennial-io/perennial/internal/rpc"
	"github.com/perennial-io/perennial/internal/storage"
	"github.com/perennial-io/perennial/internal/taskmanager"
)

// pace is how long a subtask takes for a record.
const pace = 10 * time.Millisecond

// sinkName is the operator that counts and writes.
const sinkName = "sink"

// program is what a simulated job is, as the argument of its Spec.
type program struct {
	Records int  `json:"records,omitempty"` // of each subtask; 0: without end
	Apart   bool `json:"apart,omitempty"`   // each slot is a region of its own
}

// programOf reads it.
func programOf(s job.Spec) (b program, err error) {
	if len(s.Args) != 1 {
		return b, fmt.Errorf("%d arguments", len(s.Args))
	}
	return b, json.Unmarshal([]byte(s.Args[0]), &b)
}

// graph is the plan of a job: a source that does nothing, and a sink that counts records and writes which they were.
func (b program) graph(s job.Spec) *job.Graph {
	partitioning := job.Hash
	if b.Apart {
		partitioning = job.Forward
	}
	return &job.Graph{
		Name: s.Name, MaxParallelism: 128, Bounded: b.Records > 0,
		Vertices: []job.Vertex{
			{Name: "source", Parallelism: s.Parallelism, Operators: []job.Operator{{Name: "source", Kind: "source"}}},
			{Name: sinkName, Parallelism: s.Parallelism, Operators: []job.Operator{{Name: sinkName, Kind: "sink"}}},
		},
		Edges: []job.Edge{{To: 1, Partitioning: partitioning}},
	}
}

// programs runs task processes for a TaskManager.
type programs struct{ of *process }

// Plan implements taskmanager.Programs.
func (r programs) Plan(ctx context.Context, spec job.Spec) (*job.Graph, error) {
	if err := sleep(ctx, r.of.w.between(5, 50)); err != nil {
		return nil, err
	}
	b, err := programOf(spec)
	if err != nil {
		return nil, err
	}
	return b.graph(spec), nil
}

// Start implements taskmanager.Programs.
func (r programs) Start(ctx context.Context, d rpc.Deploy) (taskmanager.Child, error) {
	w := r.of.w
	if err := sleep(ctx, w.between(1, 30)); err != nil {
		return nil, err
	}
	b, err := programOf(d.Spec)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.pids++
	pid := w.pids
	w.mu.Unlock()
	t := &task{process: w.newProcess(r.of.host, fmt.Sprintf("%s/%d", r.of.name, pid)), of: r.of, program: b, deploy: d, pid: pid, status: make(chan string, 1), exit: make(chan struct{})}
	w.net.mu.Lock()
	if r.of.dead {
		w.net.mu.Unlock()
		return nil, errDead
	}
	ours, theirs := w.net.join(r.of, t.process, nil, nil)
	w.net.mu.Unlock()
	t.parent, t.control = rpc.New(ours), rpc.New(theirs)
	w.mu.Lock()
	r.of.tasks = append(r.of.tasks, t)
	w.processes = append(w.processes, t.process)
	w.mu.Unlock()
	w.running.Go(func() {
		defer close(t.done)
		t.live()
	})
	return t, nil
}

// task is a task process. Its goroutine owns what is below.
type task struct {
	*process
	of      *process // the TaskManager's
	program program
	deploy  rpc.Deploy
	pid     int
	parent  *rpc.Conn // the TaskManager's end
	control *rpc.Conn // its own
	status  chan string
	exit    chan struct{} // closed when it has exited
	ended   string        // how; valid once exit is closed

	store     *storage.Storage
	subtasks  []*subtask
	taken     job.CheckpointID // the newest that it took part in
	published job.CheckpointID // the newest whose outputs are visible
	began     bool

	// Of the checker's mutex.
	since time.Time             // when it began
	given map[job.Subtask]given // what its TaskManager holds of it: the newest contribution of each subtask, until that is closed
}

// part is what the task process runs.
func (t *task) part() part { return part{t.deploy.Instance, t.deploy.Spec.ID, t.deploy.Region} }

// subtask is what a task process does of one.
type subtask struct {
	job.Subtask
	from     int // the first record that is in no file yet
	base     int // where it was when it began
	began    time.Time
	held     []held
	files    int
	finished bool
}

// held is an output that each checkpoint names until it is published (R3).
type held struct {
	since  job.CheckpointID
	output job.Output
}

// PID and the others implement taskmanager.Child.
func (t *task) PID() int { return t.pid }

func (t *task) Control() *rpc.Conn { return t.parent }
func (t *task) AwaitExit()         { <-t.exit }
func (t *task) Kill()              { t.die(taskmanager.KilledBySignal + "9 (killed)") }
func (t *task) Reap() string       { return t.ended }
func (t *task) LastWords() string  { return "" }
func (t *task) Close()             { t.parent.Close() }

// die ends the process at once.
func (t *task) die(how string) {
	select {
	case t.status <- how:
	default: // it is ending already
	}
	t.w.net.silence(t.process, true)
	t.silence()
}

// live is the life of the process.
func (t *task) live() {
	said := make(chan rpc.Message)
	go t.listen(said)
	t.store = t.storage()
	how := t.work(said)
	select {
	case how = <-t.status:
	default:
	}
	if t.began {
		t.w.check.ends(t, how)
	}
	t.ended = how
	t.w.net.silence(t.process, true)
	t.silence()
	for range said { // until the listener has noticed
	}
	close(t.exit)
}

// listen reads what the TaskManager says, until the process or the TaskManager ends.
func (t *task) listen(said chan<- rpc.Message) {
	defer close(said)
	for {
		_, m, err := t.control.Receive()
		if err != nil {
			return
		}
		said <- m
	}
}

// hungUp is how a task process ends whose TaskManager has gone.
const hungUp = "exited with status 1"

func (t *task) work(said <-chan rpc.Message) string {
	m, ok := <-said
	if _, is := m.(rpc.Start); !ok || !is {
		return hungUp
	}
	t.began = true
	t.w.check.begins(t)
	if !t.restore(said) {
		return hungUp
	}
	if sleep(t.heard, t.w.between(1, 40)) != nil || t.control.Send(rpc.Header{}, rpc.Ready{GraphHash: t.deploy.GraphHash, Protocol: rpc.Protocol}) != nil {
		return hungUp
	}
	for _, s := range t.subtasks {
		s.began = time.Now()
		if t.report(rpc.SubtaskReport{Subtask: s.Subtask, State: job.Running}) != nil {
			return hungUp
		}
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case m, ok := <-said:
			if !ok {
				return hungUp
			}
			if _, is := m.(rpc.Cancel); is {
				t.w.check.toldToEnd(t)
				return taskmanager.ExitedWell
			}
			t.obey(m)
		case <-tick.C:
			t.finish()
		case <-t.heard.Done():
			return hungUp
		}
	}
}

func (t *task) report(r rpc.SubtaskReport) error {
	d := t.deploy
	return t.control.Send(rpc.Header{}, rpc.Status{AttemptReport: rpc.AttemptReport{
		Job: d.Spec.ID, Region: d.Region, Attempt: d.Attempt, PID: t.pid, Subtasks: []rpc.SubtaskReport{r},
	}})
}

// restore reads what the attempt continues from, for as long as it takes.
func (t *task) restore(said <-chan rpc.Message) bool {
	var m *checkpoint.Manifest
	for t.deploy.Restore != nil {
		var err error
		if m, err = t.store.Manifest(t.heard, t.deploy.Restore.Manifest); err == nil {
			if err = t.resume(m); err == nil {
				break
			}
		}
		if errors.Is(err, storage.ErrDamaged) {
			t.w.check.violate("I8", "%s: checkpoint %d, which it restores, cannot be read: %v", t.name, t.deploy.Restore.Checkpoint, err)
			return false
		}
		select {
		case m, ok := <-said:
			if _, is := m.(rpc.Cancel); is || !ok {
				return false
			}
		case <-time.After(50 * time.Millisecond):
		case <-t.heard.Done():
			return false
		}
	}
	if m != nil {
		return true
	}
	for _, id := range t.deploy.Subtasks {
		t.subtasks = append(t.subtasks, &subtask{Subtask: id})
	}
	return true
}

// resume takes over what a checkpoint says.
func (t *task) resume(m *checkpoint.Manifest) error {
	t.subtasks = nil
	for _, id := range t.deploy.Subtasks {
		s := &subtask{Subtask: id}
		for _, ack := range m.Subtasks {
			if ack.Subtask != id {
				continue
			}
			for _, h := range ack.States {
				b, err := t.store.ReadState(t.heard, h)
				if err != nil {
					return err
				}
				if _, err := fmt.Sscan(string(b), &s.base); err != nil {
					return err
				}
			}
			s.from, s.finished = s.base, false
			for _, o := range ack.Outputs {
				if m.Bounded {
					s.held = append(s.held, held{m.Checkpoint, o.Output})
				}
			}
		}
		t.subtasks = append(t.subtasks, s)
	}
	return nil
}

// at is how many records the subtask has taken by now.
func (t *task) at(s *subtask) int {
	n := s.base + int(time.Since(s.began)/pace)
	if t.program.Records > 0 {
		n = min(n, t.program.Records)
	}
	return n
}

func (t *task) obey(m rpc.Message) {
	switch m := m.(type) {
	case rpc.Trigger:
		t.w.check.triggered(t, m)
		if m.Checkpoint <= t.taken {
			return // an attempt takes an id at most once (R5)
		}
		t.taken = m.Checkpoint
		for _, s := range t.subtasks {
			t.contribute(s, m.Checkpoint)
		}
	case rpc.Closed:
		t.w.check.toldClosed(t, m)
		if m.Published {
			t.published = max(t.published, m.Checkpoint)
		}
	}
}

// contribute takes what a checkpoint is to hold of a subtask, and acknowledges it a little later.
func (t *task) contribute(s *subtask, id job.CheckpointID) {
	to := t.at(s)
	if err := t.closeFile(s, id, to); err != nil {
		t.w.check.violate("", "%s: %v", t.name, err)
		return
	}
	ack := job.Acknowledgement{Checkpoint: id, Subtask: s.Subtask, Outputs: s.outputs(), Finished: s.finished}
	d := t.w.between(1, 150)
	t.w.running.Go(func() {
		if sleep(t.heard, d) != nil {
			return
		}
		h := job.StateHandle{Operator: sinkName, State: "records", Kind: job.PositionState}
		state := []byte(fmt.Sprint(to))
		if s.Index%2 == 0 {
			h = storage.InlineState(h, state)
		} else {
			var err error
			name := fmt.Sprintf("%d-%d-records", s.Vertex, s.Index)
			h.File, h.Size, h.CRC, err = t.store.PutState(t.heard, t.deploy.Spec.ID, id, t.deploy.Attempt, name, func(w io.Writer) error {
				_, err := w.Write(state)
				return err
			})
			if err != nil {
				h, ack.Failure, ack.Outputs = job.StateHandle{}, err.Error(), nil
			}
		}
		if ack.Failure == "" {
			ack.States = []job.StateHandle{h}
		}
		t.w.check.acknowledged(t, ack)
		_ = t.control.Send(rpc.Header{}, rpc.Acknowledge{Job: t.deploy.Spec.ID, Attempt: t.deploy.Attempt, Acks: []job.Acknowledgement{ack}})
	})
}

func (s *subtask) outputs() (list []job.OperatorOutput) {
	for _, h := range s.held {
		list = append(list, job.OperatorOutput{Operator: sinkName, Output: h.output})
	}
	return list
}

// closeFile writes which records came since the last one, as of a checkpoint, and forgets what is visible.
func (t *task) closeFile(s *subtask, id job.CheckpointID, to int) error {
	s.held = slices.DeleteFunc(s.held, func(h held) bool { return h.since <= t.published })
	if s.Vertex != 1 || to <= s.from {
		return nil
	}
	name := output.Name{
		Subtask: s.Index, Attempt: t.deploy.Attempt, Sequence: s.files, Ext: "txt", Job: t.deploy.Spec.ID.Short(), Sink: output.SinkHash(sinkName),
	}
	dir := t.w.outputs(t.deploy.Spec.ID)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	o := name.In(dir)
	if err := os.WriteFile(o.Temp, fmt.Appendf(nil, "%d %d\n", s.from, to), 0o644); err != nil {
		return err
	}
	s.held = append(s.held, held{id, o})
	s.from, s.files = to, s.files+1
	return nil
}

// finish ends the subtasks of a bounded job that have taken every record.
func (t *task) finish() {
	for _, s := range t.subtasks {
		if t.program.Records == 0 || s.finished || t.at(s) < t.program.Records {
			continue
		}
		s.finished = true
		if err := t.closeFile(s, t.taken+1, t.program.Records); err != nil {
			t.w.check.violate("", "%s: %v", t.name, err)
			return
		}
		r := rpc.SubtaskReport{Subtask: s.Subtask, State: job.Finished}
		for _, h := range s.held {
			r.Outputs = append(r.Outputs, h.output)
		}
		_ = t.report(r) // who cannot hear it has gone, which listen notices
	}
}

// outputs is where a job writes.
func (w *world) outputs(id job.ID) string { return filepath.Join(w.dir, "out", string(id)) }

// visible reads which records of a job came out: for each subtask the pieces, each from one number to another.
func (w *world) visible(id job.ID) (pieces map[int][][2]int, names []string, err error) {
	dir := w.outputs(id)
	files, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	pieces = map[int][][2]int{}
	for _, f := range files {
		name, ok := output.ParseVisible(f.Name())
		if !ok {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return nil, nil, err
		}
		var piece [2]int
		if _, err := fmt.Fscan(strings.NewReader(string(b)), &piece[0], &piece[1]); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", f.Name(), err)
		}
		pieces[name.Subtask] = append(pieces[name.Subtask], piece)
		names = append(names, filepath.Join(dir, f.Name()))
	}
	for _, p := range pieces {
		slices.SortFunc(p, func(a, b [2]int) int { return a[0] - b[0] })
	}
	return pieces, names, nil
}
