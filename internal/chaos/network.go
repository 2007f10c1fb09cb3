package chaos

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/perennial-io/perennial/internal/localcluster"
	"github.com/perennial-io/perennial/internal/testhosts"
	"github.com/perennial-io/perennial/internal/testproxy"
)

func needsHosts(s *Site) string {
	if s.hosts == nil {
		return "its processes are on one host, and have no network between them; /hosts has one"
	}
	return ""
}

func needsHostsAndZooKeeper(s *Site) string { return needsHosts(s) + needsZooKeeper(s) }

func needsProxies(s *Site) string {
	if s.proxies == nil {
		return "no proxies lie between its processes; /proxies has some"
	}
	return ""
}

func needsProxiesOfZooKeeper(s *Site) string { return needsProxies(s) + needsZooKeeper(s) }

// networkFaults are of what is between processes: packets that are lost between hosts, and bytes that proxies hold.
var networkFaults = []fault{
	{name: "leader cut from ZooKeeper", row: "9", weight: 2, gentle: true, do: (*round).partFromZooKeeper, needs: needsHostsAndZooKeeper},
	{name: "leader cut from standbys", row: "10", weight: 2, gentle: true, do: (*round).partFromStandbys, needs: needsHosts},
	{name: "one way lost between leader and TaskManager", row: "11", weight: 2, do: (*round).loseOneWay, needs: needsHosts},
	{name: "TaskManager cut off", row: "12", weight: 2, do: (*round).cutTaskManager, needs: needsHosts},
	{name: "leader's host dead", row: "14", weight: 2, gentle: true, do: (*round).killLeadersHost, needs: needsHosts},
	{name: "TaskManager's host dead", row: "14", weight: 1, do: (*round).killTaskManagersHost, needs: needsHosts},

	{name: "network slow", row: "13", weight: 2, gentle: true, do: (*round).slowNetwork, needs: needsProxies},
	{name: "leader's connections stall", row: "13", weight: 2, gentle: true, do: (*round).stall, needs: needsProxies},
	{name: "leader's connections drip", row: "15", weight: 1, gentle: true, do: (*round).drip, needs: needsProxies},
	{name: "leader's connections cut", row: "14", weight: 2, gentle: true, do: (*round).cutConnections, needs: needsProxies},
	{name: "answers to clients lost", row: "26", weight: 2, gentle: true, do: (*round).loseAnswers, needs: needsProxies},
	{name: "answers of ZooKeeper lost", row: "26", weight: 2, gentle: true, do: (*round).loseReplies, needs: needsProxiesOfZooKeeper},
	{name: "ZooKeeper drips", row: "15", weight: 1, gentle: true, do: (*round).dripZooKeeper, needs: needsProxiesOfZooKeeper},
	{name: "ZooKeeper stalls for the leader", row: "9", weight: 2, gentle: true, do: (*round).stallZooKeeper, needs: needsProxiesOfZooKeeper},
}

// loss is how much of what two hosts send each other is lost.
type loss struct {
	name        string
	begin, heal func(a, b *testhosts.Host) error
}

var losses = []loss{
	{"both ways", testhosts.Part, testhosts.Meet},
	{"from it", (*testhosts.Host).Lose, (*testhosts.Host).Find},
	{"to it", func(a, b *testhosts.Host) error { return b.Lose(a) }, func(a, b *testhosts.Host) error { return b.Find(a) }},
}

// lose parts a host from others for a while: in both directions, or in one.
func (r *round) lose(ctx context.Context, d time.Duration, one *testhosts.Host, others []*testhosts.Host) error {
	l := losses[r.draw.IntN(len(losses))]
	r.Say("seed %d: %s, for %v: %s", r.Seed, one.Name, d, l.name)
	each := func(do func(a, b *testhosts.Host) error) func() error {
		return func() (err error) {
			for _, other := range others {
				err = errors.Join(err, do(one, other))
			}
			return err
		}
	}
	return r.during(ctx, d, each(l.begin), each(l.heal))
}

func (r *round) leadersHost(ctx context.Context) (*localcluster.Process, *testhosts.Host, error) {
	leader, err := r.leader(ctx)
	if err != nil {
		return nil, nil, err
	}
	return leader, r.hosts.of(leader.Name), nil
}

func (r *round) partFromZooKeeper(ctx context.Context) error {
	_, host, err := r.leadersHost(ctx)
	if err != nil {
		return err
	}
	return r.lose(ctx, r.moments(300, 6000), host, r.hosts.zoo)
}

func (r *round) partFromStandbys(ctx context.Context) error {
	_, host, err := r.leadersHost(ctx)
	if err != nil {
		return err
	}
	var others []*testhosts.Host
	for _, p := range r.Cluster.JobManagers {
		if h := r.hosts.of(p.Name); h != host {
			others = append(others, h)
		}
	}
	return r.lose(ctx, r.moments(300, 5000), host, others)
}

func (r *round) loseOneWay(ctx context.Context) error {
	_, host, err := r.leadersHost(ctx)
	if err != nil {
		return err
	}
	return r.lose(ctx, r.moments(300, 7000), host, []*testhosts.Host{r.hosts.of(r.taskManager().Name)})
}

func (r *round) cutTaskManager(ctx context.Context) error {
	host := r.hosts.of(r.taskManager().Name)
	return r.during(ctx, r.moments(300, 8000), host.CutOff, host.Join)
}

func (r *round) killLeadersHost(ctx context.Context) error {
	leader, err := r.leader(ctx)
	if err != nil {
		return err
	}
	return r.killHost(ctx, leader)
}

func (r *round) killTaskManagersHost(ctx context.Context) error {
	return r.killHost(ctx, r.taskManager())
}

// killHost ends a process behind a cut: nobody is told of its connections' end.
func (r *round) killHost(ctx context.Context, p *localcluster.Process) error {
	host := r.hosts.of(p.Name)
	die := func() error {
		err := host.CutOff()
		r.kill(p)
		return err
	}
	return r.during(ctx, r.moments(500, 3500), die, func() error { return errors.Join(host.Join(), p.Start()) })
}

// trouble is what some proxies do for a while.
func (r *round) trouble(ctx context.Context, d time.Duration, to, from testproxy.Trouble, all testproxy.All) error {
	return r.during(ctx, d, func() error { all.Set(to, from); return nil }, func() error { all.Set(testproxy.Trouble{}, testproxy.Trouble{}); return nil })
}

// slowNetwork delays all that passes between processes of the control plane.
func (r *round) slowNetwork(ctx context.Context) error {
	all := slices.Concat(r.proxies.rpc, r.proxies.api)
	for _, of := range r.proxies.coordination {
		all = append(all, of...)
	}
	slow := testproxy.Trouble{Delay: r.moments(25, 150), Jitter: r.moments(25, 150)}
	return r.trouble(ctx, r.moments(500, 4000), slow, slow, all)
}

// leadersProxies are those before the leader: of its RPC port, of its API, and of what it asks of coordination.
func (r *round) leadersProxies(ctx context.Context) (rpc, api, coordination testproxy.All, err error) {
	leader, err := r.leader(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	i, err := r.jobManagerNumber(leader)
	return r.proxies.rpc[i : i+1], r.proxies.api[i : i+1], r.proxies.coordination[leader.Name], err
}

// stall holds what the leader is told, what it says, or both. It is over before a TaskManager would be declared dead.
func (r *round) stall(ctx context.Context) error {
	rpc, _, _, err := r.leadersProxies(ctx)
	if err != nil {
		return err
	}
	way := r.draw.IntN(3)
	return r.trouble(ctx, r.moments(100, 2000), testproxy.Trouble{Stall: way != 0}, testproxy.Trouble{Stall: way != 1}, rpc)
}

var dripping = testproxy.Trouble{Rate: 1000}

func (r *round) drip(ctx context.Context) error {
	rpc, api, _, err := r.leadersProxies(ctx)
	if err != nil {
		return err
	}
	return r.trouble(ctx, r.moments(500, 2000), dripping, dripping, slices.Concat(rpc, api))
}

// cutConnections cuts some of what passes proxies, but not nothing.
func (r *round) cutConnections(ctx context.Context) error {
	rpc, api, coordination, err := r.leadersProxies(ctx)
	if err != nil {
		return err
	}
	kinds := slices.DeleteFunc([]testproxy.All{rpc, api, coordination}, func(a testproxy.All) bool { return len(a) == 0 })
	r.struck = time.Now()
	for which, i := 1+r.draw.IntN(1<<len(kinds)-1), 0; i < len(kinds); i++ {
		if which>>i&1 == 1 {
			kinds[i].Cut()
		}
	}
	return nil
}

var lost = testproxy.Trouble{Lose: true}

// loseAnswers has requests of clients arrive, and nobody hear of it.
func (r *round) loseAnswers(ctx context.Context) error {
	return r.trouble(ctx, r.moments(50, 1000), testproxy.Trouble{}, lost, r.proxies.api)
}

// loseReplies has what the leader writes land, and the leader not hear of it.
func (r *round) loseReplies(ctx context.Context) error {
	_, _, coordination, err := r.leadersProxies(ctx)
	if err != nil {
		return err
	}
	return r.trouble(ctx, r.moments(50, 1000), testproxy.Trouble{}, lost, coordination)
}

func (r *round) dripZooKeeper(ctx context.Context) error {
	_, _, coordination, err := r.leadersProxies(ctx)
	if err != nil {
		return err
	}
	return r.trouble(ctx, r.moments(500, 4000), dripping, dripping, coordination)
}

func (r *round) stallZooKeeper(ctx context.Context) error {
	_, _, coordination, err := r.leadersProxies(ctx)
	if err != nil {
		return err
	}
	stalled := testproxy.Trouble{Stall: true}
	return r.trouble(ctx, r.moments(100, 6000), stalled, stalled, coordination)
}
