package zksession_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"go.uber.org/goleak"

	"github.com/perennial-io/perennial/coordination/zookeeper/zksession"
	"github.com/perennial-io/perennial/internal/testensemble"
)

// ensemble is shared by all tests of the package, each with nodes of its own.
var ensemble *testensemble.Ensemble

func TestMain(m *testing.M) {
	code := testensemble.Shared(3, func(e *testensemble.Ensemble) int {
		ensemble = e
		return m.Run()
	})
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// start begins a session that is closed with the test at the latest.
func start(t *testing.T, cfg zksession.Config) *zksession.Session {
	t.Helper()
	if cfg.Timeout == 0 {
		cfg.Timeout = 20 * time.Second
	}
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := zksession.Start(within(t, 30*time.Second), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// behind is a session by way of a proxy.
func behind(t *testing.T) (*testensemble.Proxy, *zksession.Session) {
	t.Helper()
	p := testensemble.NewProxy(t, ensemble.Connect())
	return p, start(t, zksession.Config{Servers: servers(p.Addresses())})
}

func servers(list string) []string { return strings.Split(list, ",") }

// within is a context that outlasts whatever works at all.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

var open = zk.WorldACL(zk.PermAll)

// newNode makes a node of the test's own.
func newNode(t *testing.T, s *zksession.Session) string {
	t.Helper()
	path := "/" + strings.ReplaceAll(t.Name(), "/", "-") + fmt.Sprint(time.Now().UnixNano())
	if err := s.Ensure(within(t, 20*time.Second), path, open); err != nil {
		t.Fatal(err)
	}
	return path
}

// lives fails the test if the session has ended.
func lives(t *testing.T, s *zksession.Session) {
	t.Helper()
	if err := s.Err(); err != nil {
		t.Error(err)
	}
}

// restored waits at the end of a test until the shared ensemble is whole again.
func restored(t *testing.T) {
	t.Helper()
	if err := ensemble.Restore(); err != nil {
		t.Fatal(err)
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
