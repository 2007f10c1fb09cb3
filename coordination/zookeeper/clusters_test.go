package zookeeper_test

import (
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/zookeeper"
)

// plain is the library's own client of the shared ensemble.
func plain(t *testing.T) *zk.Conn {
	t.Helper()
	conn, _, err := zk.Connect(strings.Split(ensemble.Connect(), ","), 10*time.Second, zk.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// TestRemovedCluster: whoever deletes all of one cluster touches nothing of those beside it, also
// where one's name begins with the other's.
func TestRemovedCluster(t *testing.T) {
	id := coordination.NewNonce()
	chroot := "/chroot-" + id
	at := func(root, id string) zookeeper.Config {
		return zookeeper.Config{Servers: ensemble.Connect() + chroot, Root: root, ClusterID: id, SessionTimeout: 10 * time.Second}
	}
	removed := lead(t, openWith(t, at("/teams", "one")), "a")
	commit(t, removed, coordination.Create("jobs/1", []byte("one")))
	others := map[string]coordination.Term{}
	for path, cfg := range map[string]zookeeper.Config{
		chroot + "/teams/one2": at("/teams", "one2"), chroot + "/one/one": at("/one", "one"),
		"/perennial/" + id: {Servers: ensemble.Connect(), ClusterID: id, SessionTimeout: 10 * time.Second},
	} {
		others[path] = lead(t, openWith(t, cfg), "b")
		commit(t, others[path], coordination.Create("jobs/1", []byte(path)))
	}
	conn := plain(t)
	nodes := walk(t, conn, chroot+"/teams/one")
	for i := len(nodes) - 1; i >= 0; i-- { // what is deepest comes last
		if err := conn.Delete(nodes[i], -1); err != nil {
			t.Fatalf("delete %s: %v", nodes[i], err)
		}
	}
	for path, term := range others {
		if err := term.Check(within(t, 10*time.Second)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if e, err := term.Get(within(t, 10*time.Second), "jobs/1"); err != nil || string(e.Value) != path {
			t.Errorf("%s: its key is %q, %v", path, e.Value, err)
		}
		if there, _, err := conn.Exists(path + "/leader"); err != nil || !there {
			t.Errorf("%s has no leader's node any more: %v", path, err)
		}
	}
}

// TestNodesOfOthers: what is not this build's cluster is told by what it is.
func TestNodesOfOthers(t *testing.T) {
	conn := plain(t)
	root := "/others-" + coordination.NewNonce()
	if _, err := conn.Create(root, nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	for path, data := range map[string]string{
		"/newer": `{"format":2,"by":"perennial 7.1.0"}`, "/kafka": "broker", "/json": `{"brokers":[]}`,
		"/ours": `{"format":1,"by":"perennial 0.0.1"}`, "/empty": "",
	} {
		if _, err := conn.Create(root+path, []byte(data), 0, zk.WorldACL(zk.PermAll)); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		root, id string
		want     []string // parts of the message; nil: it is opened
	}{
		"another version": {root, "newer", []string{root + "/newer", "another version", "format 2", "perennial 7.1.0", "up to 1"}},
		"another system":  {root, "kafka", []string{root + "/kafka", `"broker"`, "no cluster's node"}},
		"other JSON":      {root, "json", []string{root + "/json", "no cluster's node"}},
		"inside another":  {root + "/ours", "jobs", []string{root + "/ours is another cluster's node", "not inside a cluster"}},
		"an older build":  {root, "ours", nil},
		"made by hand":    {root, "empty", nil},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := within(t, 30*time.Second)
			s, err := zookeeper.Open(ctx, zookeeper.Config{Servers: ensemble.Connect(), Root: test.root, ClusterID: test.id, Logger: logger(t)})
			switch {
			case err == nil:
				defer s.Close()
				if test.want != nil {
					t.Error("it was opened")
				}
			case test.want == nil || ctx.Err() != nil:
				t.Errorf("Open: %v", err)
			}
			for _, want := range test.want {
				if err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("%v: want %q in it", err, want)
				}
			}
		})
	}
	data, _, err := conn.Get(root + "/empty")
	if err != nil || !strings.HasPrefix(string(data), `{"format":1,"by":"perennial `) {
		t.Errorf("a node made by hand holds %q, %v", data, err)
	}
}
