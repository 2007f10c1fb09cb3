package zookeeper_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
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

func TestParseServers(t *testing.T) {
	for _, test := range []struct {
		list   string
		want   []string
		chroot string
		err    string // part of the message
	}{
		{list: "zk1:2181", want: []string{"zk1:2181"}},
		{list: "zk1:2181, 10.0.0.2:2182 ,[::1]:2183", want: []string{"zk1:2181", "10.0.0.2:2182", "[::1]:2183"}},
		{list: "[fe80::1%eth0]:2181", want: []string{"[fe80::1%eth0]:2181"}},
		{list: "zk1", want: []string{"zk1:2181"}},
		{list: "zk1,zk2:2182,[::1],10.0.0.2", want: []string{"zk1:2181", "zk2:2182", "[::1]:2181", "10.0.0.2:2181"}},
		{list: "zk1:2181/perennial", want: []string{"zk1:2181"}, chroot: "/perennial"},
		{list: "zk1,[::1]/a/b c", want: []string{"zk1:2181", "[::1]:2181"}, chroot: "/a/b c"},
		{list: "zk1:2181/", want: []string{"zk1:2181"}},
		{list: "", err: "no servers are named"},
		{list: "  ", err: "no servers are named"},
		{list: "/perennial", err: "no servers are named"},
		{list: "zk1:2181,", err: "server 2 of \"zk1:2181,\": the entry is empty"},
		{list: "zk1:2181,,zk3:2181", err: "server 2 of"},
		{list: "zk1:2181,zk1", err: "servers 1 and 2 of \"zk1:2181,zk1\" are both zk1:2181"},
		{list: "zk1:", err: `has the port ""`},
		{list: "zk1:zk", err: `has the port "zk"`},
		{list: "zk1:0", err: `has the port "0": expected 1 to 65535`},
		{list: "zk1:65536", err: `has the port "65536"`},
		{list: ":2181", err: "has no host"},
		{list: "[]", err: "has no host"},
		{list: "zk1,[zk2", err: `has the host "[zk2"`},
		{list: "zk1\x00", err: `has the host "zk1\x00"`},
		{list: "zk1 zk2", err: `has the host "zk1 zk2"`},
		{list: "user@zk1", err: `has the host "user@zk1"`},
		{list: "::1:2181", err: "an IPv6 address is written in brackets"},
		{list: "[::1:2181", err: "is not host:port"},
		{list: "[::g]:2181", err: "malformed IPv6 address"},
		{list: "[::g]", err: "malformed IPv6 address"},
		{list: "zk1:2181/a,zk2:2181/a", err: "a path comes once, after the last server"},
		{list: "zk1:2181//a", err: `"//a": expected names with one slash`},
		{list: "zk1:2181/a/", err: `"/a/": expected names with one slash`},
		{list: "zk1:2181/a/../b", err: `"/a/../b": expected names with one slash`},
	} {
		got, chroot, err := zookeeper.ParseServers(test.list)
		switch {
		case test.err == "" && err != nil:
			t.Errorf("%q: %v", test.list, err)
		case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
			t.Errorf("%q: error %v, want one with %q", test.list, err, test.err)
		case !slices.Equal(got, test.want) || chroot != test.chroot:
			t.Errorf("%q: %q and %q, want %q and %q", test.list, got, chroot, test.want, test.chroot)
		}
	}
}

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

func TestOpenTellsThatNoNameResolves(t *testing.T) {
	const name = "no-such-host.invalid:2181"
	ctx := within(t, 20*time.Second)
	_, err := zookeeper.Open(ctx, zookeeper.Config{Servers: name})
	if err == nil || !strings.Contains(err.Error(), "server "+name+" does not resolve") {
		t.Errorf("Open: %v, want an error that names %s", err, name)
	}
}

// Nobody listens; somebody accepts and says nothing; somebody speaks another language, in
// which the first word is a length of more than a gigabyte.
func TestOpenTriesOnUntilItsContextEnds(t *testing.T) {
	refusing, silent := listen(t), listen(t)
	refusing.Close()
	foreign := answering(t, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
	encrypted := answering(t, "\x15\x03\x03\x00\x02\x02\x0a") // an alert: unexpected message
	for _, test := range []struct {
		what string
		addr net.Addr
		last string // part of what the error says of the last try
	}{
		{"refusing", refusing.Addr(), "connection refused"},
		{"silent", silent.Addr(), "i/o timeout"},
		{"foreign", foreign.Addr(), `it begins with "HTTP`},
		{"encrypted", encrypted.Addr(), "it wants TLS; set zookeeper.tls.enabled"},
		{"hanging-up", answering(t, "").Addr(), "a port for TLS, or more clients than its maxClientCnxns"},
	} {
		what, addr := test.what, test.addr
		var log bytes.Buffer
		began := time.Now()
		_, err := zookeeper.Open(within(t, 700*time.Millisecond), zookeeper.Config{
			Servers: addr.String(),
			Logger:  slog.New(slog.NewTextHandler(&log, nil)),
		})
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), addr.String()) {
			t.Errorf("a %s server: %v, want a deadline that names %v", what, err, addr)
		}
		if err != nil && !strings.Contains(err.Error(), test.last) {
			t.Errorf("a %s server: %v, want %q in it", what, err, test.last)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("a %s server: Open returned after %v", what, took)
		}
		if !strings.Contains(log.String(), "no server accepts the session") {
			t.Errorf("a %s server: the log says nothing of it: %s", what, log.String())
		}
	}
}

// answering is a server that says one thing to everybody, and hangs up.
func answering(t *testing.T, text string) net.Listener {
	l := listen(t)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // the test is over
			}
			_, _ = io.ReadFull(conn, make([]byte, 4)) // else the answer may be lost with what was not read
			fmt.Fprint(conn, text)
			conn.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, conn)
			conn.Close()
		}
	}()
	return l
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

func TestGrantedSessionTimeoutIsLogged(t *testing.T) {
	var log bytes.Buffer
	s, err := zookeeper.Open(within(t, 30*time.Second), zookeeper.Config{
		Servers:        ensemble.Connect(),
		ClusterID:      coordination.NewNonce(),
		SessionTimeout: 2 * testensemble.MaxSessionTimeout,
		Logger:         slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("granted=%v", testensemble.MaxSessionTimeout); !strings.Contains(log.String(), want) {
		t.Errorf("the log has no %q: %s", want, log.String())
	}
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
