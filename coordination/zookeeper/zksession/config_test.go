package zksession_test

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

	"github.com/perennial-io/perennial/coordination/zookeeper/zksession"
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
		got, chroot, err := zksession.ParseServers(test.list)
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

func TestStartTellsThatNoNameResolves(t *testing.T) {
	const name = "no-such-host.invalid:2181"
	ctx := within(t, 20*time.Second)
	_, err := zksession.Start(ctx, zksession.Config{Servers: []string{name}})
	if err == nil || !strings.Contains(err.Error(), "server "+name+" does not resolve") {
		t.Errorf("Start: %v, want an error that names %s", err, name)
	}
}

// Nobody listens; somebody accepts and says nothing; somebody speaks another language, in
// which the first word is a length of more than a gigabyte.
func TestStartTriesOnUntilItsContextEnds(t *testing.T) {
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
		_, err := zksession.Start(within(t, 700*time.Millisecond), zksession.Config{
			Servers: []string{addr.String()},
			Prefix:  "zookeeper.",
			Logger:  slog.New(slog.NewTextHandler(&log, nil)),
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a %s server: %v, want a deadline", what, err)
		}
		if err != nil && !strings.Contains(err.Error(), test.last) {
			t.Errorf("a %s server: %v, want %q in it", what, err, test.last)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("a %s server: Start returned after %v", what, took)
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

func TestStartRefusesMalformedConfig(t *testing.T) {
	here := []string{"127.0.0.1:1"}
	for want, cfg := range map[string]zksession.Config{
		"no servers are named":             {},
		"session timeout -1s is negative":  {Servers: here, Timeout: -time.Second},
		"who to be for the ensemble":       {Servers: here, AuthFile: "/nonexistent"},
		"expected one line, user:password": {Servers: here, AuthFile: os.DevNull},
	} {
		if _, err := zksession.Start(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Start: %v, want an error with %q", err, want)
		}
	}
}

func TestGrantedTimeoutIsLogged(t *testing.T) {
	var log bytes.Buffer
	s, err := zksession.Start(within(t, 30*time.Second), zksession.Config{
		Servers: servers(ensemble.Connect()),
		Timeout: 2 * testensemble.MaxSessionTimeout,
		Logger:  slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if want := fmt.Sprintf("granted=%v", testensemble.MaxSessionTimeout); !strings.Contains(log.String(), want) || s.Timeout() != testensemble.MaxSessionTimeout {
		t.Errorf("%v was granted, and the log has no %q: %s", s.Timeout(), want, log.String())
	}
}
