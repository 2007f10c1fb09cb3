package hostcluster

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"strings"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/testhosts"
)

// The hosts of a cluster: those of JobManagers, then those of TaskManagers.
const (
	Masters = 3
	Workers = 4
)

// Cluster is JobManagers on the first hosts, TaskManagers on the others. The first of the latter is where the person types.
type Cluster struct {
	*testhosts.Hosts
	Person *Person
}

// New writes the files of conf/, and starts nothing. Quorum is ZooKeeper's, or "" for an embedded one; settings are further
// lines of perennial.yaml, and files further files of conf/. There must be enough hosts.
func New(h *testhosts.Hosts, p *Person, quorum, settings string, files map[string]string) (*Cluster, error) {
	c := &Cluster{h, p}
	p.On = h.List[Masters]
	p.Env = append(p.Env, "PERENNIAL_SSH_OPTS="+h.SSHOptions())
	settings += "storage.dir: " + filepath.Join(p.Dir, "storage") + "\nrest.bind-host: 0.0.0.0\njobmanager.bind-host: 0.0.0.0\ntaskmanager.bind-host: 0.0.0.0\n"
	if quorum == "" {
		settings += "high-availability: embedded\n"
	} else {
		settings += "zookeeper.quorum: " + quorum + "\n"
	}
	all := map[string]string{"perennial.yaml": settings, "masters": list(h.List[:Masters]), "workers": list(h.List[Masters : Masters+Workers])}
	maps.Copy(all, files)
	return c, p.Configure(all)
}

// list is the names of some hosts, one on a line.
func list(hosts []*testhosts.Host) string {
	var b strings.Builder
	for _, h := range hosts {
		fmt.Fprintln(&b, h.Name)
	}
	return b.String()
}

// Ensemble is a zoo.cfg of servers on some hosts, and where clients find them.
func Ensemble(names ...string) (config, quorum string) {
	var servers, clients []string
	for i, name := range names {
		servers = append(servers, fmt.Sprintf("server.%d=%s:2888:3888;2181", i+1, name))
		clients = append(clients, name+":2181")
	}
	return "tickTime=500\n" + strings.Join(servers, "\n") + "\n", strings.Join(clients, ",")
}

// Subtasks is those of a job, by name and index, if every one runs, or has finished.
func (c *Cluster) Subtasks(ctx context.Context, id string) (client.Job, map[string]client.Subtask, error) {
	j, err := Ask[client.Job](ctx, c.Person, "info", id)
	if err != nil {
		return j, nil, err
	}
	all := map[string]client.Subtask{}
	for _, v := range j.Vertices {
		for _, one := range v.Subtasks {
			all[fmt.Sprintf("%s/%d", v.Name, one.Index)] = one
			if one.State != "RUNNING" && one.State != "FINISHED" || one.PID == 0 {
				return j, nil, fmt.Errorf("%s: %+v", v.Name, one)
			}
		}
	}
	if len(all) == 0 {
		return j, nil, fmt.Errorf("the job is %s: %s", j.State, j.Failure)
	}
	return j, all, nil
}

// Standing tells which host's JobManager leads, and how many stand by.
func (c *Cluster) Standing(ctx context.Context) (leader *testhosts.Host, standbys int, err error) {
	all, err := Ask[[]client.JobManager](ctx, c.Person, "jobmanagers")
	for _, one := range all {
		switch one.Role {
		case "leader":
			leader = c.named(strings.Split(one.REST, ":")[0])
		case "standby":
			standbys++
		}
	}
	if err == nil && leader == nil {
		err = fmt.Errorf("nobody leads: %+v", all)
	}
	return leader, standbys, err
}

// HostOf is where the TaskManager of a subtask is.
func (c *Cluster) HostOf(ctx context.Context, subtask client.Subtask) (*testhosts.Host, error) {
	all, err := Ask[[]client.TaskManager](ctx, c.Person, "taskmanagers")
	for _, one := range all {
		if one.ID == subtask.TaskManager {
			if h := c.named(one.Host); h != nil {
				return h, nil
			}
		}
	}
	if err == nil {
		err = fmt.Errorf("no host has TaskManager %s: %+v", subtask.TaskManager, all)
	}
	return nil, err
}

// named is the host of a name, or nil.
func (c *Cluster) named(name string) *testhosts.Host {
	for _, h := range c.List {
		if h.Name == name {
			return h
		}
	}
	return nil
}
