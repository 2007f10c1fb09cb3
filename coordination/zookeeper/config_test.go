package zookeeper_test

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/zookeeper"
	"github.com/perennial-io/perennial/internal/testensemble"
)

func TestOpenRefusesMalformedConfig(t *testing.T) {
	for want, cfg := range map[string]zookeeper.Config{
		"no servers are named":                       {},
		`has the port "x"`:                           {Servers: "zk1:x"},
		"ZooKeeper's own":                            {Servers: "127.0.0.1:1", Root: "/zookeeper"},
		`the ACL is "world"`:                         {Servers: "127.0.0.1:1", ACL: "world"},
		"set zookeeper.auth.file":                    {Servers: "127.0.0.1:1", ACL: zookeeper.ACLCreator},
		"who to be for the ensemble":                 {Servers: "127.0.0.1:1", AuthFile: "/nonexistent"},
		"expected one line, user:password":           {Servers: "127.0.0.1:1", AuthFile: os.DevNull},
		`cluster id "a/b"`:                           {Servers: "127.0.0.1:1", ClusterID: "a/b"},
		`root "/a//b"`:                               {Servers: "127.0.0.1:1", Root: "/a//b"},
		"session timeout -1s is negative":            {Servers: "127.0.0.1:1", SessionTimeout: -time.Second},
		`path of the leader "epoch/x" overlaps with`: {Servers: "127.0.0.1:1", Paths: zookeeper.Paths{Leader: "epoch/x"}},
	} {
		_, err := zookeeper.Open(t.Context(), cfg)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open: %v, want an error with %q", err, want)
		}
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestReservedKeys(t *testing.T) {
	s := open(t, ensemble.Connect(), coordination.NewNonce(), 10*time.Second)
	term := lead(t, s, "a")
	for _, key := range []string{"epoch", "leader", "history/1", "jobmanagers/x"} {
		_, err := term.Commit(within(t, 10*time.Second), coordination.Create(key, nil))
		if err == nil || !strings.Contains(err.Error(), "part of the contract") {
			t.Errorf("Create %q: %v, want a refusal", key, err)
		}
	}
	commit(t, term, coordination.Create("epochs", nil))
}

func TestHistoryKeepsTheNewest(t *testing.T) {
	const claims = 70
	id := coordination.NewNonce()
	s := open(t, ensemble.Connect(), id, 10*time.Second)
	for range claims {
		lead(t, s, "a")
	}
	conn, _, err := zk.Connect(strings.Split(ensemble.Connect(), ","), 10*time.Second, zk.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	path := zookeeper.DefaultRoot + "/" + id + "/history"
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for ctx := within(t, 20*time.Second); ; {
		if _, err := conn.Sync(path); err != nil {
			t.Fatal(err)
		}
		names, _, err := conn.Children(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(names) == 64 && slices.Contains(names, fmt.Sprint(claims)) && !slices.Contains(names, "6") {
			return
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatalf("after %d claims the history has %d records: %v", claims, len(names), names)
		}
	}
}

// TestWarm: a member's path to the ensemble is used without a call of anybody.
func TestWarm(t *testing.T) {
	p := testensemble.NewProxy(t, ensemble.Connect())
	s := openWith(t, zookeeper.Config{Servers: p.Addresses(), ClusterID: coordination.NewNonce(), SessionTimeout: 40 * time.Second, Warm: 5 * time.Millisecond})
	if err := s.Join(within(t, 10*time.Second), coordination.Member{ID: "a"}); err != nil {
		t.Fatal(err)
	}
	patience := time.After(10 * time.Second) // the library's own sign of life comes every 13 s
	for range 5 {
		select {
		case <-p.Arrived:
		case <-patience:
			t.Fatal("nothing is sent")
		}
	}
}
