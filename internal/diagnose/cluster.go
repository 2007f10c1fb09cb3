package diagnose

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/inspect"
)

const (
	leaderPatience = 3 * time.Second  // for a leader: that there is none is an answer too
	visitTime      = 30 * time.Second // for all that the processes are asked
)

// Cluster checks a cluster that runs, from its API: who is there, of which release, with which clocks, who reaches whom, and
// whether they all have one storage. expected are the REST addresses of JobManagers that are to be there. It fails only if
// nobody leads.
func Cluster(ctx context.Context, c *client.Client, expected []string) ([]Finding, error) {
	waiting, cancel := context.WithTimeoutCause(ctx, leaderPatience, fmt.Errorf("waited %v", leaderPatience))
	defer cancel()
	managers, err := c.JobManagers(waiting)
	if err != nil {
		return nil, err
	}
	ctx, cancel = context.WithTimeout(ctx, visitTime)
	defer cancel()
	for _, rest := range expected {
		if !slices.ContainsFunc(managers, func(jm client.JobManager) bool { return jm.REST == rest }) {
			managers = append(managers, client.JobManager{ID: "of the configuration", REST: rest})
		}
	}
	token := "doctor-" + string(client.NewID())
	v := &visit{client: c, token: token, managers: managers, written: []string{token}}
	if err := v.leader(ctx, inspect.Probe{Write: token}); err != nil {
		return append(v.list, wrong("storage", "the leader, "+managers[0].ID, err, "look into its log: perennial logs jobmanager leader")), nil
	}
	v.taskManagers(ctx)
	v.jobManagers(ctx)
	v.storage(ctx)
	return v.list, nil
}

// visit is one round through a cluster.
type visit struct {
	client   *client.Client
	token    string // that the leader has written
	managers []client.JobManager

	mu      sync.Mutex
	list    []Finding
	version string   // the leader's
	written []string // tokens
	data    []string // addresses of TaskManagers
}

func (v *visit) add(f ...Finding) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.list = append(v.list, f...)
}

// leader has the leader look, and fails where it finds a problem.
func (v *visit) leader(ctx context.Context, p inspect.Probe) error {
	piece, err := v.client.InspectJobManager(ctx, v.managers[0].REST, inspect.Question{Probe: &p})
	if err != nil {
		return err
	}
	v.version = piece.Probed.Version
	if problems := piece.Probed.Problems; len(problems) > 0 {
		return fmt.Errorf("in %s, token %s: %s", piece.Probed.Storage, problems[0].About, problems[0].Text)
	}
	return nil
}

// taskManagers has all of them look for the JobManagers and the leader's token.
func (v *visit) taskManagers(ctx context.Context) {
	p := inspect.Probe{Read: []string{v.token}, Write: v.token}
	for _, jm := range v.managers {
		if jm.Address != "" {
			p.Dial = append(p.Dial, jm.Address)
		}
	}
	from := time.Now()
	found, err := v.client.Probe(ctx, p)
	to := time.Now()
	switch {
	case err != nil:
		v.add(wrong("taskmanager", "all", err, "look into the leader's log: perennial logs jobmanager leader"))
	case len(found) == 0:
		v.add(Finding{Check: "taskmanager", About: "all", Text: "none is registered", Advice: "start some, with conf/workers and start-cluster.sh, or taskmanager.sh start; their logs say whom they look for"})
	}
	for _, tm := range found {
		v.add(taskManagerFinding(tm))
		if tm.Probed == nil {
			continue
		}
		v.written, v.data = append(v.written, v.token+"-"+tm.TaskManager), append(v.data, tm.Data)
		about := tm.TaskManager + " on " + tm.Host
		v.add(versionFinding(about, tm.Version, v.version), clockFinding(about, tm.Probed.Clock, from, to))
		v.add(reachFindings(about, p, tm.Probed)...)
	}
}

// jobManagers has each look for the others and for the TaskManagers' data ports.
func (v *visit) jobManagers(ctx context.Context) {
	var wg sync.WaitGroup
	for i, jm := range v.managers {
		wg.Go(func() {
			p := inspect.Probe{Read: []string{v.token}, Dial: slices.Clone(v.data)}
			for _, other := range v.managers {
				if other.ID != jm.ID && other.Address != "" {
					p.Dial = append(p.Dial, other.Address)
				}
			}
			if i > 0 {
				p.Write = fmt.Sprintf("%s-jm-%d", v.token, i)
			}
			v.jobManager(ctx, jm, p)
		})
	}
	wg.Wait()
}

func (v *visit) jobManager(ctx context.Context, jm client.JobManager, p inspect.Probe) {
	about := jm.ID + " at " + jm.REST
	from := time.Now()
	piece, err := v.client.InspectJobManager(ctx, jm.REST, inspect.Question{Probe: &p})
	to := time.Now()
	if err != nil {
		v.add(wrong("jobmanager", about, err, "start it, or take it out of conf/masters; from other hosts rest.bind-host must not be loopback"))
		return
	}
	v.add(fine("jobmanager", about, "%s", jm.Role), versionFinding(about, piece.Probed.Version, v.version), clockFinding(about, piece.Probed.Clock, from, to))
	v.add(reachFindings(about, p, piece.Probed)...)
	if p.Write != "" {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.written = append(v.written, p.Write)
	}
}

// storage has the leader look for what the others have written, and tidies up.
func (v *visit) storage(ctx context.Context) {
	if err := v.leader(ctx, inspect.Probe{Read: v.written}); err != nil {
		v.add(wrong("storage", "the leader", fmt.Errorf("it does not see what another process has written: %w", err), "make storage.dir the same directory on all hosts, mounted and writable for the user of the process"))
	} else {
		v.add(fine("storage", "all", "what each of %d processes wrote, the leader reads, and they what it wrote", len(v.written)))
	}
	_ = v.leader(ctx, inspect.Probe{Delete: v.written}) // what stays is small, and says what it is
}
