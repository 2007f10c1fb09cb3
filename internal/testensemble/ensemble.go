package testensemble

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// configName is the file in a server's directory that it is started with.
const configName = "zoo.cfg"

// Tick is the ensemble's tickTime. Elections and the detection of a frozen server
// take a few of them; with the customary 2 s a test would wait for ten.
const Tick = 200 * time.Millisecond

// The servers grant session timeouts from here to there.
const (
	MinSessionTimeout = 2 * Tick
	MaxSessionTimeout = time.Minute
)

// startAttempts bounds how often an ensemble is started over because another process
// took one of its ports between their choice and their use.
const startAttempts = 3

// Ensemble is a running ZooKeeper ensemble.
type Ensemble struct {
	Servers []*Server

	starter *starter
}

// Options are of an ensemble that is not the usual one.
type Options struct {
	Settings []string // further lines of each server's zoo.cfg
	Secure   bool     // each server has a port for TLS as well, whose keys the settings name
	Hosts    []Host   // where each server runs; nil: all on loopback
}

// Host is where a server runs.
type Host struct {
	Address string   // of it
	Enter   []string // what comes before a program and its arguments for it to run there
}

// host is where server i runs.
func (o Options) host(i int) Host {
	if len(o.Hosts) == 0 {
		return Host{Address: host}
	}
	return o.Hosts[i]
}

// ZooKeeper starts n servers (1, 3 or 5) with their files under dir, and returns when
// all of them serve. The caller closes the ensemble. It fails with ErrNotInstalled where
// Java or ZooKeeper is missing, and says what to install.
func ZooKeeper(ctx context.Context, dir string, n int) (*Ensemble, error) {
	return ZooKeeperWith(ctx, dir, n, Options{})
}

// ZooKeeperWith is ZooKeeper with options.
func ZooKeeperWith(ctx context.Context, dir string, n int, o Options) (*Ensemble, error) {
	install, err := findInstallation()
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		e, err := start(ctx, install, filepath.Join(dir, strconv.Itoa(attempt)), n, o)
		if err == nil {
			return e, nil
		}
		if attempt == startAttempts || !errors.Is(err, errExited) {
			return nil, fmt.Errorf("start a ZooKeeper ensemble of %d: %w", n, err)
		}
	}
}

// TB is what Start needs of a *testing.T or *testing.B.
type TB interface {
	Helper()
	TempDir() string
	Context() context.Context
	Cleanup(func())
	Fatal(args ...any)
}

// Start is ZooKeeper for one test: it fails the test if the ensemble cannot be
// started, and closes it at the test's end. Packages with many tests start one ensemble
// in TestMain instead: a start costs seconds of CPU.
func Start(t TB, n int) *Ensemble {
	t.Helper()
	return StartWith(t, n, Options{})
}

// StartWith is Start with options.
func StartWith(t TB, n int, o Options) *Ensemble {
	t.Helper()
	e, err := ZooKeeperWith(t.Context(), t.TempDir(), n, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func start(ctx context.Context, install installation, dir string, n int, o Options) (*Ensemble, error) {
	ports, err := freePorts(4 * n)
	if err != nil {
		return nil, err
	}
	e := &Ensemble{starter: newStarter()}
	for i := range n {
		s := &Server{
			Addr:    fmt.Sprintf("%s:%d", o.host(i).Address, ports[3*i]),
			enter:   o.host(i).Enter,
			install: install,
			dir:     filepath.Join(dir, fmt.Sprintf("server-%d", i+1)),
			starter: e.starter,
		}
		if o.Secure {
			s.Secure = fmt.Sprintf("%s:%d", o.host(i).Address, ports[3*n+i])
		}
		e.Servers = append(e.Servers, s)
		err = errors.Join(err, writeFiles(s.dir, i, ports, o))
	}
	for _, s := range e.Servers {
		if err == nil {
			err = s.Start()
		}
	}
	if err == nil {
		err = e.WaitServing(ctx)
	}
	if err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

// writeFiles makes the directory of server i (from 0) of an ensemble that has ports
// for clients, for the quorum and for elections, in turn, and then those for TLS.
func writeFiles(dir string, i int, ports []int, o Options) error {
	data := filepath.Join(dir, "data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		return err
	}
	files := map[string]string{
		filepath.Join(data, "myid"):            strconv.Itoa(i + 1),
		filepath.Join(dir, configName):         config(data, i, ports, o),
		filepath.Join(dir, "logback.xml"):      "<configuration><root level=\"OFF\"/></configuration>\n",
		filepath.Join(dir, "log4j.properties"): "log4j.rootLogger=OFF\n",
	}
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// config is a zoo.cfg. Sessions may be longer than the customary 20 ticks: on a loaded
// machine a test must not lose a session that it did not mean to lose.
func config(data string, i int, ports []int, o Options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "tickTime=%d\ninitLimit=50\nsyncLimit=8\n", Tick.Milliseconds())
	fmt.Fprintf(&b, "minSessionTimeout=%d\nmaxSessionTimeout=%d\nmaxClientCnxns=0\n", MinSessionTimeout.Milliseconds(), MaxSessionTimeout.Milliseconds())
	fmt.Fprintf(&b, "dataDir=%s\nclientPort=%d\nclientPortAddress=%s\n", data, ports[3*i], o.host(i).Address)
	fmt.Fprintf(&b, "admin.enableServer=false\n4lw.commands.whitelist=srvr\n")
	n := len(ports) / 4
	if o.Secure {
		fmt.Fprintf(&b, "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n")
		fmt.Fprintf(&b, "secureClientPort=%d\nsecureClientPortAddress=%s\n", ports[3*n+i], o.host(i).Address)
	}
	for _, line := range o.Settings {
		fmt.Fprintln(&b, line)
	}
	if n == 1 {
		return b.String() // one server: standalone
	}
	for j := range n {
		fmt.Fprintf(&b, "server.%d=%s:%d:%d\n", j+1, o.host(j).Address, ports[3*j+1], ports[3*j+2])
	}
	return b.String()
}

// Connect is the list of servers as clients are given it: host:port,host:port.
func (e *Ensemble) Connect() string {
	return e.list(func(s *Server) string { return s.Addr })
}

// ConnectSecure is Connect for TLS.
func (e *Ensemble) ConnectSecure() string {
	return e.list(func(s *Server) string { return s.Secure })
}

func (e *Ensemble) list(address func(*Server) string) string {
	addrs := make([]string, len(e.Servers))
	for i, s := range e.Servers {
		addrs[i] = address(s)
	}
	return strings.Join(addrs, ",")
}

// WaitServing returns when every server serves and one of them leads, or with the reason why not once ctx ends. A leader
// that was frozen says that it leads until it has found out that another does. WaitServing fails at once if a server's
// process has ended by itself.
func (e *Ensemble) WaitServing(ctx context.Context) error {
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for {
		err := e.whole(ctx)
		if err == nil || errors.Is(err, errExited) {
			return err
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("%w while waiting: %w", context.Cause(ctx), err)
		}
	}
}

// whole is nil if every server serves, and one of them leads.
func (e *Ensemble) whole(ctx context.Context) error {
	var leaders []string
	for _, s := range e.Servers {
		mode, err := s.Mode(ctx)
		if err != nil {
			return err
		}
		if mode != "follower" {
			leaders = append(leaders, s.Addr)
		}
	}
	if len(leaders) != 1 {
		return fmt.Errorf("those that say that they lead the ensemble are %v", leaders)
	}
	return nil
}

// Leader is the server that leads the ensemble now, waited for until ctx ends.
// An ensemble of one is led by its one server.
func (e *Ensemble) Leader(ctx context.Context) (*Server, error) {
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for {
		for _, s := range e.Servers {
			if mode, err := s.Mode(ctx); err == nil && mode != "follower" {
				return s, nil
			}
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("no ZooKeeper server leads: %w", context.Cause(ctx))
		}
	}
}

// Close kills all servers and returns when they are gone. Their files stay.
func (e *Ensemble) Close() {
	for _, s := range e.Servers {
		_ = s.Kill() // what cannot be killed here dies with the starter's thread
	}
	e.starter.close()
}

// Shared runs the tests of a package over one ensemble of n servers, whose files it removes. It returns what run
// returns, or 1, having said so, if there is no ensemble.
func Shared(n int, run func(*Ensemble) int) int {
	e, remove, err := shared(n)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer remove()
	defer e.Close()
	return run(e)
}

func shared(n int) (e *Ensemble, remove func(), err error) {
	dir, err := os.MkdirTemp("", "perennial-zookeeper-")
	if err != nil {
		return nil, nil, err
	}
	remove = func() { os.RemoveAll(dir) }
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if e, err = ZooKeeper(ctx, dir, n); err != nil {
		remove()
	}
	return e, remove, err
}

// At is the server that listens at an address, or nil.
func (e *Ensemble) At(addr string) *Server {
	for _, s := range e.Servers {
		if s.Addr == addr {
			return s
		}
	}
	return nil
}

// Restore starts and thaws the servers that were ended or frozen, and returns when all serve.
func (e *Ensemble) Restore() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, s := range e.Servers {
		if s.Pid() == 0 {
			if err := s.Start(); err != nil {
				return err
			}
		}
		if err := s.Thaw(); err != nil {
			return err
		}
	}
	return e.WaitServing(ctx)
}
