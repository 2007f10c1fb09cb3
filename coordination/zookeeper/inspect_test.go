package zookeeper_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/zookeeper"
)

// found reports whether there is a finding of this level with this text in it.
func found(r zookeeper.Report, level zookeeper.Level, text string) bool {
	return slices.ContainsFunc(r.Findings, func(f zookeeper.Finding) bool { return f.Level == level && strings.Contains(f.Text, text) })
}

func TestInspect(t *testing.T) {
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/commands/system_properties":
			fmt.Fprint(w, `{"java.version":"17","zookeeper.forceSync":"no","zookeeper.skipACL":"no","error":null}`)
		case "/commands/configuration":
			fmt.Fprint(w, `{"tick_time":3000,"sync_limit":5,"command":"configuration","error":null}`)
		}
	}))
	defer admin.Close()
	id := coordination.NewNonce()
	s := open(t, ensemble.Connect(), id, 10*time.Second)
	term := lead(t, s, "a")
	commit(t, term, coordination.Create("jobs/1", nil), coordination.Create("jobs/2", nil))
	if err := s.Join(t.Context(), coordination.Member{ID: "a", Data: []byte(`{"rpc":"x"}`)}); err != nil {
		t.Fatal(err)
	}
	r, err := zookeeper.Inspect(t.Context(), zookeeper.Config{Servers: ensemble.Connect(), ClusterID: id}, admin.Listener.Addr().(*net.TCPAddr).Port)
	if err != nil {
		t.Fatal(err)
	}
	modes := map[string]int{}
	for _, s := range r.Servers {
		modes[s.Mode]++
		if s.Error != "" || s.GrantedMillis != 10_000 || s.QuorumMillis <= 0 || s.Version == "" || s.ForceSync != "no" || s.TickMillis != 3000 {
			t.Errorf("a server: %+v", s)
		}
		if len(s.NotTold) != 1 || !strings.HasPrefix(s.NotTold[0], "conf: the server does not allow it") {
			t.Errorf("not told: %q, want that conf is not allowed", s.NotTold)
		}
		if !found(r, zookeeper.Warning, s.Server+" has forceSync=no") {
			t.Errorf("nothing about forceSync of %s in %v", s.Server, r.Findings)
		}
	}
	if modes["leader"] != 1 || modes["follower"] != 2 || len(r.Members) != 3 {
		t.Errorf("modes %v, members %q", modes, r.Members)
	}
	c := r.Cluster
	if c.Error != "" || !c.Exists || c.Format != 1 || c.Epoch != 1 || c.Leader != "a" || !c.Alive || c.History != 1 ||
		len(c.Members) != 1 || c.Members[0].Data != `{"rpc":"x"}` || c.Below["jobs"] != 2 || len(c.Below) != 1 {
		t.Errorf("the cluster: %+v", c)
	}
}

// TestInspectChangesNothing: a cluster that is not there is not made.
func TestInspectChangesNothing(t *testing.T) {
	id := coordination.NewNonce()
	r, err := zookeeper.Inspect(t.Context(), zookeeper.Config{Servers: ensemble.Connect() + "/" + id, ClusterID: id}, 0)
	if err != nil || r.Cluster.Exists || !found(r, zookeeper.Note, "there is no /"+id+"/perennial/"+id) {
		t.Errorf("%+v, %v", r, err)
	}
	if there, _, err := plain(t).Exists("/" + id); err != nil || there {
		t.Errorf("the chroot is there: %v, %v", there, err)
	}
}

// TestInspectOfOthers: one server is away, one is none of ZooKeeper's, and so is what answers at
// the admin server's port.
func TestInspectOfOthers(t *testing.T) {
	away := listen(t)
	away.Close()
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }))
	defer foreign.Close()
	strange := foreign.Listener.Addr().String()
	servers := strings.Join([]string{ensemble.Servers[0].Addr, away.Addr().String(), strange}, ",")
	r, err := zookeeper.Inspect(t.Context(), zookeeper.Config{Servers: servers, ClusterID: coordination.NewNonce()}, foreign.Listener.Addr().(*net.TCPAddr).Port)
	if err != nil {
		t.Fatal(err)
	}
	if !found(r, zookeeper.Warning, away.Addr().String()+" gives no session") || !found(r, zookeeper.Warning, strange+" gives no session") {
		t.Errorf("findings: %v", r.Findings)
	}
	if r.Cluster.Error != "" || r.Servers[0].Error != "" {
		t.Errorf("with one server of three: %+v", r)
	}
	if told := strings.Join(r.Servers[0].NotTold, "; "); !strings.Contains(told, "none of ZooKeeper's") {
		t.Errorf("not told: %s", told)
	}
}
