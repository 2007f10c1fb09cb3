package zksession

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-zookeeper/zk"
)

// A call may go out over a later connection than the one that it was made with, and is guarded there too; a handshake is not its matter.
func TestEachConnectionIsGuarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire([]string{"a:1", "b:1"}, newDialer(Config{}), nil)
		defer w.stop()
		s := &Session{wire: w, log: slog.New(slog.DiscardHandler)}
		connected(t, w)
		w.established()
		g := s.guard()
		time.Sleep(s.stall() / 2)
		second, closed := connected(t, w) // the first was lost
		time.Sleep(10 * s.stall())
		if closed() {
			t.Error("a handshake was cut")
		}
		w.established()
		time.Sleep(2 * s.stall())
		if !closed() {
			t.Errorf("a call is unanswered for two stalls, and the connection with %s stands", second.server.address)
		}
		g.stop()
		_, closed = connected(t, w)
		w.established()
		time.Sleep(10 * s.stall())
		if closed() {
			t.Error("a connection was cut for a call that was answered")
		}
	})
}

// What an op takes on the wire is not more than is thought.
func TestSizesOfOps(t *testing.T) {
	acl := []zk.ACL{{Perms: zk.PermAll, Scheme: "digest", ID: string(make([]byte, 2000))}, {Perms: zk.PermRead, Scheme: "world", ID: "anyone"}}
	for _, op := range []Op{Check("/a", 1), Set("/a", make([]byte, 9), 1), Create("/a", make([]byte, 9), acl), CreateEphemeral("/a", nil, acl), Delete("/a", 1)} {
		const header = 9 // of an op: what it is, two marks
		if n := header + encoded(op.request); n > op.bytes {
			t.Errorf("%T takes %d bytes, thought to take %d", op.request, n, op.bytes)
		}
	}
}

// encoded is how ZooKeeper writes a request: 4 bytes for a number or a length, and what texts hold.
func encoded(request any) int {
	switch r := request.(type) {
	case *zk.CheckVersionRequest:
		return 4 + len(r.Path) + 4
	case *zk.SetDataRequest:
		return 4 + len(r.Path) + 4 + len(r.Data) + 4
	case *zk.DeleteRequest:
		return 4 + len(r.Path) + 4
	case *zk.CreateRequest:
		n := 4 + len(r.Path) + 4 + len(r.Data) + 4 + 4
		for _, a := range r.Acl {
			n += 4 + 4 + len(a.Scheme) + 4 + len(a.ID)
		}
		return n
	}
	panic(request)
}
