package zookeeper

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// fine is a report that has nothing to warn of.
func fine() Report {
	r := Report{Node: "/perennial/default", AskedMillis: 10_000}
	for _, s := range []string{"a:2181", "b:2181", "c:2181"} {
		r.Servers = append(r.Servers, ServerReport{Server: s, Version: "3.8.0", Mode: "follower", GrantedMillis: 10_000, QuorumMillis: 1,
			TickMillis: 2000, SyncLimit: 5, ForceSync: "yes", SkipACL: "no"})
		r.Members = append(r.Members, "server.1="+s+":2888:3888:participant;0.0.0.0:2181")
	}
	r.Servers[1].Mode = "leader"
	r.Cluster = ClusterReport{Exists: true, Format: 1, Epoch: 7, Leader: "x", Alive: true, Members: []MemberReport{{ID: "x"}, {ID: "y"}}}
	return r
}

func TestJudge(t *testing.T) {
	secured := Config{ACL: ACLCreator, AuthFile: "/secret", TLS: &TLS{}}
	for name, test := range map[string]struct {
		change func(*Report, *Config)
		want   []string // "level: part of the text", all there are
	}{
		"nothing":         {func(*Report, *Config) {}, nil},
		"one unreachable": {func(r *Report, _ *Config) { r.Servers[0] = ServerReport{Server: "a:2181", Error: "refused"} }, []string{"warning: a:2181 gives no session: refused"}},
		"none reachable": {func(r *Report, _ *Config) {
			*r = Report{Servers: []ServerReport{{Server: "a:2181", Error: "refused"}}, Cluster: ClusterReport{Error: "no session"}}
		}, []string{"error: a:2181 gives no session", "error: the cluster's nodes cannot be used: no session", "note: no server tells its tickTime", "note: whether forceSync is on cannot be seen"}},
		"longer sessions":  {func(r *Report, _ *Config) { r.Servers[0].GrantedMillis = 40_000 }, []string{"warning: a:2181 grants a session timeout of 40000 ms where 10000"}},
		"shorter sessions": {func(r *Report, _ *Config) { r.Servers[0].GrantedMillis = 4000 }, []string{"note: a:2181 grants a session timeout of 4000 ms"}},
		"even":             {func(r *Report, _ *Config) { r.Members = append(r.Members, "server.4=d:2888:3888:participant;2181") }, []string{"warning: 4 servers vote: an even number survives no more failures than 3", "warning: zookeeper.quorum names 3 of 4"}},
		"one name of all":  {func(r *Report, _ *Config) { r.Servers = r.Servers[1:2]; r.Servers[0].Behind = 3 }, nil},
		"one of three":     {func(r *Report, _ *Config) { r.Servers = r.Servers[1:2]; r.Servers[0].Behind = 1 }, []string{"warning: zookeeper.quorum names 1 of 3"}},
		"an observer":      {func(r *Report, _ *Config) { r.Members = append(r.Members, "server.4=d:2888:3888:observer;2181") }, []string{"note: 1 of the ensemble's servers observe"}},
		"alone": {func(r *Report, _ *Config) {
			r.Servers, r.Members = r.Servers[:1], nil
			r.Servers[0].Mode = "standalone"
		}, []string{"warning: the ensemble is one server"}},
		"one that decides alone":  {func(r *Report, _ *Config) { r.Servers[0].Mode = "standalone" }, []string{"error: the servers of zookeeper.quorum are not one ensemble: those that decide by themselves are b:2181, a:2181", "warning: the ensemble is one server"}},
		"two ensembles":           {func(r *Report, _ *Config) { r.Servers[0].Mode = "leader" }, []string{"error: the servers of zookeeper.quorum are not one ensemble: those that decide by themselves are a:2181, b:2181"}},
		"members not told":        {func(r *Report, _ *Config) { r.Members, r.MembersNot = nil, "not authenticated" }, []string{"note: how many servers the ensemble has is not known (/zookeeper/config: not authenticated)"}},
		"too old":                 {func(r *Report, _ *Config) { r.Servers[0].Version = "3.5.2" }, []string{"error: a:2181 is ZooKeeper 3.5.2", "warning: the servers are of several versions"}},
		"newer":                   {func(r *Report, _ *Config) { r.Servers[0].Version = "3.10.0" }, []string{"warning: the servers are of several versions"}},
		"a long tick":             {func(r *Report, _ *Config) { r.Servers[0].TickMillis = 3000 }, []string{"warning: a:2181 has tickTime 3000"}},
		"a long fail-over":        {func(r *Report, _ *Config) { r.Servers[0].SyncLimit = 10 }, []string{"warning: a:2181 waits for 20000 ms (tickTime 2000, syncLimit 10)"}},
		"slow":                    {func(r *Report, _ *Config) { r.Servers[0].QuorumMillis = 120 }, []string{"warning: a round to the ensemble's leader by way of a:2181 takes 120 ms"}},
		"forceSync off":           {func(r *Report, _ *Config) { r.Servers[0].ForceSync = "no" }, []string{"warning: a:2181 has forceSync=no"}},
		"skipACL":                 {func(r *Report, _ *Config) { r.Servers[0].SkipACL = "yes" }, []string{"warning: a:2181 has skipACL=yes"}},
		"open":                    {func(_ *Report, c *Config) { c.ACL = ACLOpen }, []string{"note: zookeeper.acl is open"}},
		"open of old":             {func(r *Report, _ *Config) { r.Cluster.Changeable = true }, []string{"warning: zookeeper.acl is creator, and everybody may change /perennial/default"}},
		"a password in the clear": {func(_ *Report, c *Config) { c.TLS = nil }, []string{"warning: the password of zookeeper.auth.file is sent in the clear"}},
		"no cluster":              {func(r *Report, _ *Config) { r.Cluster = ClusterReport{} }, []string{"note: there is no /perennial/default"}},
		"no leader":               {func(r *Report, _ *Config) { r.Cluster.Alive = false }, []string{"warning: nobody leads just now, and 2 JobManagers are up"}},
		"nobody up":               {func(r *Report, _ *Config) { r.Cluster.Alive, r.Cluster.Members = false, nil }, []string{"note: no JobManager is up"}},
		"no standby":              {func(r *Report, _ *Config) { r.Cluster.Members = r.Cluster.Members[:1] }, []string{"note: one JobManager is up"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, cfg := fine(), secured
			test.change(&r, &cfg)
			var got []string
			for _, f := range judge(r, cfg) {
				got = append(got, string(f.Level)+": "+f.Text)
			}
			if !slices.EqualFunc(got, test.want, strings.HasPrefix) {
				t.Errorf("findings:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

func TestBehind(t *testing.T) {
	for addresses, want := range map[string]int{"10.0.0.1": 1, "10.0.0.1 fd00::1": 1, "10.0.0.1 10.0.0.2 fd00::1": 2, "fd00::1 fd00::2": 2} {
		if got := behind(strings.Fields(addresses)); got != want {
			t.Errorf("%s: %d, want %d", addresses, got, want)
		}
	}
}

// TestMedian: of what there was time for.
func TestMedian(t *testing.T) {
	refused := errors.New("refused")
	for name, test := range map[string]struct {
		each  time.Duration
		fails int // the call with this number; 0: none
		want  float64
		err   error
	}{
		"fast":         {time.Millisecond, 0, 1, nil},
		"slow":         {2 * time.Second, 0, 2000, nil},
		"none in time": {time.Minute, 0, 0, context.DeadlineExceeded},
		"refused":      {time.Millisecond, 3, 0, refused},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			calls := 0
			got, err := median(ctx, func() error {
				if calls++; calls == test.fails {
					return refused
				}
				select {
				case <-time.After(test.each):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
			if got != test.want || !errors.Is(err, test.err) {
				t.Errorf("%s: %v %v, want %v %v", name, got, err, test.want, test.err)
			}
		})
	}
}
