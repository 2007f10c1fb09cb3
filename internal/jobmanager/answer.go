package jobmanager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/rpc"
	"github.com/perennial-io/perennial/internal/storage"
)

// patient is how long an answer waits for coordination. After that the client is told, and asks
// again: whatever it asked for has one effect (R9).
const patient = 2 * time.Second

// maxSpec bounds what a client may say about a job, in bytes as JSON.
const maxSpec = 64 << 10

// settling is how long after a change of leader a member that has not connected is still listed.
const settling = 2 * time.Second

// The methods below are what the API is made of. Their errors are *api.Error, but for those of a
// client that went away.

// Self tells who this JobManager is, and whom it follows.
func (jm *JobManager) Self() api.Self {
	s := api.Self{
		ID: jm.cfg.ID, RPC: jm.self.Address, REST: jm.self.REST, Role: "standby", Version: jm.cfg.Version,
		Takeover: jm.takeover.Load(), TaskManagers: jm.connections.countTaskManagers(),
	}
	if c := jm.incarnation.Load(); c != nil {
		s.Cluster = *c
	}
	if leader, epoch, ok := jm.leader(); ok {
		s.Leader, s.LeaderRPC, s.Epoch = leader.REST, leader.Address, epoch
	}
	if l := jm.serving.Load(); l != nil {
		s.Role, s.Epoch = "leader", l.term.Epoch()
		s.Leader, s.LeaderRPC = s.REST, s.RPC
	}
	return s
}

// readyPatience is how long a leader that is asked whether it is ready waits for the quorum: less than probes wait by default.
const readyPatience = 500 * time.Millisecond

// Ready tells whether this JobManager answers requests, or knows who does. A leader that reaches no quorum answers none (R15). Nor
// does one whose session has ended, or that the detector has given up and nobody could claim over yet, as coordination is not at hand.
func (jm *JobManager) Ready(ctx context.Context) bool {
	if l := jm.serving.Load(); l != nil {
		ctx, cancel := context.WithTimeout(ctx, readyPatience)
		defer cancel()
		return l.checks.Current(ctx) == nil
	}
	other, epoch, ok := jm.leader()
	return ok && other.REST != jm.self.REST && jm.known.Load().Alive && !jm.vacancies.suspects(epoch)
}

// leader is who leads as far as this process knows.
func (jm *JobManager) leader() (leader api.JobManager, epoch coordination.Epoch, ok bool) {
	known := jm.known.Load()
	if known == nil || known.Epoch == 0 {
		return leader, 0, false
	}
	if err := json.Unmarshal(known.Data, &leader); err != nil {
		return leader, known.Epoch, false
	}
	return leader, known.Epoch, true
}

// current returns the term, once it is known to be in force after the request arrived (R15).
func (jm *JobManager) current(ctx context.Context) (*leader, error) {
	l, err := jm.led()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	if err := l.checks.Current(ctx); err != nil {
		if jm.serving.Load() != l {
			return nil, l.ended()
		}
		return nil, unavailable(err)
	}
	return l, nil
}

// led returns the term, or who leads instead.
func (jm *JobManager) led() (*leader, error) {
	if l := jm.serving.Load(); l != nil {
		return l, nil
	}
	other, _, ok := jm.leader()
	if !ok || other.ID == jm.cfg.ID || !jm.known.Load().Alive {
		return nil, &api.Error{Code: api.NoLeader, Message: "no JobManager leads at the moment; ask again"}
	}
	return nil, &api.Error{Code: api.NotLeader, Leader: other.REST, Message: "this JobManager stands by; the leader is at " + other.REST}
}

// ended is what a client is told whose answer the term did not live to give: who leads instead,
// or to ask again where that is this process, under another epoch or not known to have ended.
func (l *leader) ended() error {
	if _, err := l.led(); err != nil {
		return err
	}
	return unavailable(l.over())
}

func unavailable(err error) *api.Error {
	return &api.Error{Code: api.Unavailable, Message: fmt.Sprintf(
		"the leader cannot reach coordination at the moment (%v); running jobs go on, nothing is lost, ask again", err)}
}

// JobManagers lists the leader and those that stand by.
func (jm *JobManager) JobManagers(ctx context.Context) ([]api.JobManager, error) {
	l, err := jm.current(ctx)
	if err != nil {
		return nil, err
	}
	self := jm.self
	self.Role, self.Epoch, self.Since = "leader", l.term.Epoch(), l.since.UTC()
	if t := jm.takeover.Load(); t != nil && t.Epoch == self.Epoch { // else it is of a term before, as jobs are still being adopted
		self.Takeover = t
	}
	return append([]api.JobManager{self}, l.standbys()...), nil
}

// standbys are the members that hold a connection to this leader. One that died stays a member
// until its session ends, but its connection does not stay.
func (l *leader) standbys() []api.JobManager {
	connected := make(map[string]rpc.Hello)
	for _, s := range l.connections.listStandbys() {
		connected[s.hello.ID] = s.hello
	}
	list := standingBy(l.published(), connected, l.cfg.ID, time.Since(l.since) >= settling)
	for i := range list {
		list[i].Role, list[i].Epoch = "standby", l.term.Epoch()
		if hello := connected[list[i].ID]; !hello.Since.IsZero() {
			list[i].Since = hello.Since // what it published is when it started
		}
	}
	return list
}

// standingBy are those of the published JobManagers that are connected, and, until a change of leader has settled, those
// that may be about to be. That is none in whose place another process runs: of a cluster that was stopped or killed as a whole the
// sessions outlive the processes, and those of an embedded quorum begin anew when it elects Raft's leader.
func standingBy(published []api.JobManager, connected map[string]rpc.Hello, leader string, settled bool) (list []api.JobManager) {
	for _, one := range published {
		_, here := connected[one.ID]
		replaced := slices.ContainsFunc(published, func(other api.JobManager) bool {
			_, isHere := connected[other.ID]
			return other.ID != one.ID && other.REST == one.REST && (isHere || other.ID == leader || other.Since.After(one.Since))
		})
		if one.ID != leader && (here || !settled && !replaced) {
			list = append(list, one)
		}
	}
	return list
}

// Cluster tells what there is to run jobs on.
func (jm *JobManager) Cluster(ctx context.Context) (api.Cluster, error) {
	l, err := jm.current(ctx)
	if err != nil {
		return api.Cluster{}, err
	}
	return ask(ctx, l, func(answer chan<- api.Cluster) happening { return clusterAsked{answer} })
}

// HasArtifact tells whether a job binary is stored.
func (jm *JobManager) HasArtifact(ctx context.Context, sum string) (bool, error) {
	l, err := jm.led()
	if err != nil {
		return false, err
	}
	return l.hasArtifact(ctx, sum)
}

// hasArtifact tells whether a job binary is stored, and has it stay for a while if it is.
func (l *leader) hasArtifact(ctx context.Context, sum string) (bool, error) {
	has, err := l.cfg.Storage.HasArtifact(ctx, sum)
	if err != nil || !has {
		return false, storageError(err)
	}
	return true, l.garbage.use(storage.ArtifactName(sum))
}

// PutArtifact stores a job binary of this hash. It stays for a while, for the job that is to be submitted.
func (jm *JobManager) PutArtifact(ctx context.Context, sum string, r io.Reader) error {
	l, err := jm.led()
	if err != nil {
		return err
	}
	name := storage.ArtifactName(sum)
	if err := l.garbage.removing(name); err != nil {
		return err
	}
	if err := l.cfg.Storage.PutArtifact(ctx, sum, r); err != nil {
		return storageError(err)
	}
	return l.garbage.use(name)
}

func storageError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, storage.ErrHash), errors.Is(err, storage.ErrName):
		return &api.Error{Code: api.BadRequest, Message: err.Error()}
	}
	return &api.Error{Code: api.Unavailable, Message: fmt.Sprintf("storage fails at the moment (%v); ask again", err)}
}

// Submit commits a job, once for its id, and returns it as it is now.
func (jm *JobManager) Submit(ctx context.Context, spec job.Spec) (api.Job, error) {
	l, err := jm.led()
	if err != nil {
		return api.Job{}, err
	}
	if err := l.checkSpec(ctx, spec); err != nil {
		return api.Job{}, err
	}
	if l.jobs.unreadable(spec.ID) {
		return api.Job{}, unreadable(spec.ID)
	}
	o := l.jobs.add(execution.Intent{Spec: spec, Phase: execution.Created, Times: job.Times{Submitted: time.Now().UTC()}})
	if o == nil {
		return api.Job{}, forgotten(spec.ID)
	}
	o.start()
	if err := l.await(ctx, o.ready); err != nil {
		return api.Job{}, err
	}
	if !sameSpec(o.spec, spec) {
		return api.Job{}, &api.Error{Code: api.Conflict, Message: fmt.Sprintf("job id %s was used for another job, %q; make a new id", spec.ID, o.spec.Name)}
	}
	return l.answer(ctx, o)
}

// await waits until ready is closed, for as long as a client should wait.
func (l *leader) await(ctx context.Context, ready <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	select {
	case <-ready:
		return nil
	case <-l.ctx.Done():
		return l.ended()
	case <-ctx.Done():
		return &api.Error{Code: api.Unavailable, Message: fmt.Sprintf(
			"the leader could not commit this within %v, as coordination or storage is slow or away; running jobs go on, nothing is lost, ask again", patient)}
	}
}

// answer is the job as it is. What was committed before is in force: later changes are not claimed.
func (l *leader) answer(ctx context.Context, o *owner) (api.Job, error) {
	v := *o.view.Load()
	if v.State.Terminal() && len(v.Vertices) == 0 && v.SlotsNeeded > 0 {
		return l.recall(ctx, o)
	}
	if waits := o.storageWait.Load(); waits != nil {
		v.StorageWait = *waits
	}
	return v, nil
}

// recall shows a job that ended under an earlier leader: its plan was not needed until now.
func (l *leader) recall(ctx context.Context, o *owner) (api.Job, error) {
	graph, err := l.cfg.Storage.Graph(ctx, o.intent.GraphHash)
	if errors.Is(err, storage.ErrHash) {
		return api.Job{}, &api.Error{Code: api.Conflict, Message: fmt.Sprintf("the plan of job %s cannot be shown: %v", o.id, err)}
	}
	if err != nil {
		return api.Job{}, storageError(err)
	}
	v := execution.New(o.intent, graph, nil).View()
	o.view.Store(&v)
	return v, nil
}

func sameSpec(a, b job.Spec) bool {
	return a.ID == b.ID && a.Name == b.Name && a.Artifact == b.Artifact && a.Dir == b.Dir &&
		a.Savepoint == b.Savepoint && a.AllowDropped == b.AllowDropped && a.Parallelism == b.Parallelism && slices.Equal(a.Args, b.Args)
}

// checkSpec says what is wrong with a submission.
func (l *leader) checkSpec(ctx context.Context, spec job.Spec) error {
	bad := func(format string, args ...any) error {
		return &api.Error{Code: api.BadRequest, Message: fmt.Sprintf(format, args...)}
	}
	if _, err := job.ParseID(string(spec.ID)); err != nil {
		return bad("id: %v", err)
	}
	if strings.TrimSpace(spec.Name) == "" {
		return bad("name: the job has none")
	}
	if spec.Parallelism < 0 {
		return bad("parallelism: %d; expected 1 or more, or 0 for what the job says", spec.Parallelism)
	}
	if b, err := json.Marshal(spec); err != nil || len(b) > maxSpec {
		return bad("the job's arguments have %d bytes; at most %d can be sent: pass a file's name instead of its content", len(b), maxSpec)
	}
	return l.checkArtifact(ctx, spec.Artifact)
}

// Jobs lists the jobs, the oldest first.
func (jm *JobManager) Jobs(ctx context.Context) ([]api.Summary, error) {
	l, err := jm.current(ctx)
	if err != nil {
		return nil, err
	}
	list := []api.Summary{}
	for _, o := range l.jobs.all() {
		if !o.committed() {
			continue
		}
		if err := l.awaitAdopted(ctx, o); err != nil {
			return nil, err
		}
		list = append(list, o.view.Load().Summary)
	}
	return list, nil
}

// Job tells all about one job.
func (jm *JobManager) Job(ctx context.Context, id job.ID) (api.Job, error) {
	l, o, err := jm.currently(ctx, id)
	if err != nil {
		return api.Job{}, err
	}
	return l.answer(ctx, o)
}

// currently finds a job that is committed, and who leads it now.
func (jm *JobManager) currently(ctx context.Context, id job.ID) (*leader, *owner, error) {
	l, err := jm.current(ctx)
	if err != nil {
		return nil, nil, err
	}
	o, err := l.known(id)
	if err == nil {
		err = l.awaitAdopted(ctx, o)
	}
	return l, o, err
}

// awaitAdopted waits until a job has heard of its tasks after a change of leader, or until that is not waited for any
// more: nobody is told of less than there is, and a job whose TaskManager is away holds up only who asks for it.
func (l *leader) awaitAdopted(ctx context.Context, o *owner) error {
	select {
	case <-o.adopted:
	case <-l.settled:
	case <-l.ctx.Done():
		return l.ended()
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// known finds a job that is committed.
func (l *leader) known(id job.ID) (*owner, error) {
	if o := l.jobs.find(id); o != nil && o.committed() {
		return o, nil
	}
	if l.jobs.unreadable(id) {
		return nil, unreadable(id)
	}
	if l.jobs.isForgotten(id) {
		return nil, &api.Error{Code: api.NotFound, Message: fmt.Sprintf("there is no job %s; jobs that have ended are forgotten after a time (jobs.retention)", id)}
	}
	return nil, &api.Error{Code: api.NotFound, Message: fmt.Sprintf("there is no job %s", id)}
}

func unreadable(id job.ID) *api.Error {
	return &api.Error{Code: api.Unavailable, Message: fmt.Sprintf("what is committed about job %s cannot be read; the leader's log says why", id)}
}

// Cancel commits that a job is to end, and returns it as it is then. A job that has ended, or is
// about to, stays as it is.
func (jm *JobManager) Cancel(ctx context.Context, id job.ID) (api.Job, error) {
	l, o, err := jm.currently(ctx, id)
	if err != nil {
		return api.Job{}, err
	}
	if !o.view.Load().State.Terminal() {
		if err := l.await(ctx, o.ask(execution.CancelRequested{})); err != nil {
			return api.Job{}, err
		}
	}
	return l.answer(ctx, o)
}

// committed reports whether the job is more than a wish.
func (o *owner) committed() bool {
	select {
	case <-o.ready:
		return true
	default:
		return false
	}
}
