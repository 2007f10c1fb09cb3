package zookeeper_test

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/coordinationtest"
	"github.com/perennial-io/perennial/coordination/zookeeper"
	"github.com/perennial-io/perennial/coordination/zookeeper/zksession"
	"github.com/perennial-io/perennial/internal/testensemble"
)

const user = "perennial:secret:with:colons"

// secured is an ensemble that talks to nobody without a certificate and a password.
type secured struct {
	t *testing.T
	*testensemble.Ensemble
	*testensemble.Authority
	cert, key string // of this client
	password  string // file
}

func newSecured(t *testing.T) *secured {
	t.Helper()
	s := &secured{t: t, Authority: testensemble.NewAuthority(t)}
	store := s.KeyStore(s.Issue("zk.test", true))
	s.cert, s.key = s.Issue("client", true)
	s.Ensemble = testensemble.StartWith(t, 1, testensemble.Options{Secure: true, Settings: []string{
		"ssl.keyStore.location=" + store, "ssl.trustStore.location=" + s.File, "ssl.clientAuth=need",
		"enforce.auth.enabled=true", "enforce.auth.schemes=digest",
	}})
	s.password = s.secret(user)
	return s
}

// secret is a file with this text.
func (s *secured) secret(text string) string {
	path := filepath.Join(s.t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// config is for a process that has everything.
func (s *secured) config(id string) zookeeper.Config {
	return zookeeper.Config{
		Servers: s.ConnectSecure() + "/teams/one", ClusterID: id, SessionTimeout: 10 * time.Second,
		ACL: zookeeper.ACLCreator, AuthFile: s.password,
		TLS: &zksession.TLS{CA: s.File, Certificate: s.cert, Key: s.key},
	}
}

// dial speaks to the server as the library does without help. With cert, which has the same
// subject as the clients of this test or another.
func (s *secured) dial(cert, key string) *zk.Conn {
	s.t.Helper()
	cfg := s.Authority.Config(cert, key)
	conn, _, err := zk.Connect([]string{s.ConnectSecure()}, 10*time.Second, zk.WithLogInfo(false),
		zk.WithDialer(func(network, address string, timeout time.Duration) (net.Conn, error) {
			return tls.DialWithDialer(&net.Dialer{Timeout: timeout}, network, address, cfg)
		}))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(conn.Close)
	return conn
}

func TestSecuredEnsemble(t *testing.T) {
	e := newSecured(t)
	t.Run("Conformance", func(t *testing.T) {
		coordinationtest.Run(t, func(t *testing.T) coordinationtest.Cluster {
			return clusterBehind(coordination.NewNonce(), e.behindProxy)
		})
	})
	t.Run("NodesAreTheirCreators", e.nodesAreTheirCreators)
	t.Run("Refusals", e.refusals)
	t.Run("RefusedAfterTheHandshake", e.refusedAfterTheHandshake)
	t.Run("FilesAreReadAgain", e.filesAreReadAgain)
	t.Run("Inspect", e.inspect)
}

// behindProxy has a proxy that ends TLS on both sides, to see what passes.
func (s *secured) behindProxy(t *testing.T, cfg zookeeper.Config) (*testensemble.Proxy, zookeeper.Config) {
	p := testensemble.NewSilentProxy(t)
	ends := s.Authority.Config(s.cert, s.key)
	p.Dial = func(server string) (net.Conn, error) { return tls.Dial("tcp", server, ends) }
	p.User = user
	p.Serve(tls.NewListener(listen(t), ends), s.ConnectSecure())
	behind := s.config(cfg.ClusterID)
	behind.Servers = p.Addresses() + "/teams/one"
	return p, behind
}

// walk lists a node and all below it.
func walk(t *testing.T, conn *zk.Conn, path string) []string {
	t.Helper()
	names, _, err := conn.Children(path)
	if err != nil {
		t.Fatalf("children of %s: %v", path, err)
	}
	nodes := []string{path}
	for _, name := range names {
		nodes = append(nodes, walk(t, conn, path+"/"+name)...)
	}
	return nodes
}

func (s *secured) nodesAreTheirCreators(t *testing.T) {
	store := openWith(t, s.config("mine"))
	term := lead(t, store, "a")
	commit(t, term, coordination.Create("jobs/1/intent", []byte("1")), coordination.Create("plain", nil))
	if err := store.Join(within(t, 10*time.Second), coordination.Member{ID: "a"}); err != nil {
		t.Fatal(err)
	}
	ours := s.dial(s.cert, s.key)
	if err := ours.AddAuth("digest", []byte(user)); err != nil {
		t.Fatal(err)
	}
	nodes := walk(t, ours, "/teams/one/perennial/mine")
	for _, want := range []string{"", "/epoch", "/leader", "/history/1", "/jobmanagers/a", "/jobs/1/intent", "/plain"} {
		if !slices.Contains(nodes, "/teams/one/perennial/mine"+want) {
			t.Fatalf("the cluster's nodes are %q", nodes)
		}
	}
	cert, key := s.Issue("somebody", true)
	other := s.dial(cert, key)
	if err := other.AddAuth("digest", []byte("somebody:else")); err != nil {
		t.Fatal(err)
	}
	for _, node := range nodes {
		_, _, reading := other.Get(node)
		_, writing := other.Set(node, nil, -1)
		_, creating := other.Create(node+"/x", nil, 0, zk.WorldACL(zk.PermAll))
		deleting := other.Delete(node, -1)
		_, owning := other.SetACL(node, zk.WorldACL(zk.PermAll), -1)
		for what, err := range map[string]error{"read": reading, "write": writing, "create below": creating, "take": owning} {
			if !errors.Is(err, zk.ErrNoAuth) {
				t.Errorf("%s %s by another user: %v, want ErrNoAuth", what, node, err)
			}
		}
		if deleting == nil {
			t.Errorf("%s was deleted by another user", node)
		}
	}
	s.sharesTheNodesAbove(t, other, term)
}

// sharesTheNodesAbove: another user's cluster lies beside this one, and may not touch it.
func (s *secured) sharesTheNodesAbove(t *testing.T, other *zk.Conn, term coordination.Term) {
	theirs := s.config("theirs")
	theirs.AuthFile = s.secret("somebody:else")
	theirs.TLS.Certificate, theirs.TLS.Key = s.Issue("somebody", true)
	commit(t, lead(t, openWith(t, theirs), "b"), coordination.Create("key", []byte("theirs")))
	for _, shared := range []string{"/teams", "/teams/one", "/teams/one/perennial"} {
		if _, err := other.Set(shared, nil, -1); !errors.Is(err, zk.ErrNoAuth) {
			t.Errorf("write %s by another user: %v, want ErrNoAuth", shared, err)
		}
	}
	if err := other.Delete("/teams/one/perennial/mine", -1); !errors.Is(err, zk.ErrNoAuth) && !errors.Is(err, zk.ErrNotEmpty) {
		t.Errorf("delete another user's cluster: %v", err)
	}
	if e, err := term.Get(within(t, 10*time.Second), "jobs/1/intent"); err != nil || string(e.Value) != "1" {
		t.Errorf("the key is %q, %v after another cluster came", e.Value, err)
	}
}

// refusals are told at once: nothing here waits until its context ends.
func (s *secured) refusals(t *testing.T) {
	openWith(t, s.config("refusing"))
	stranger := testensemble.NewAuthority(t)
	for name, test := range map[string]struct {
		change func(*zookeeper.Config)
		want   []string
	}{
		"no password":    {func(c *zookeeper.Config) { c.AuthFile, c.ACL = "", zookeeper.ACLOpen }, []string{"insists on authentication", "set zookeeper.auth.file"}},
		"wrong password": {func(c *zookeeper.Config) { c.AuthFile = s.secret("perennial:wrong"); s.asSomebody(c) }, []string{"/teams/one/perennial/refusing", "not authenticated", "another user"}},
		"no certificate": {func(c *zookeeper.Config) { c.TLS = &zksession.TLS{CA: s.File} }, []string{"does not accept this client", "zookeeper.tls.certificate"}},
		"a stranger's certificate": {func(c *zookeeper.Config) {
			c.TLS.Certificate, c.TLS.Key = stranger.Issue("client", true)
		}, []string{"does not accept this client"}},
		"an expired certificate": {func(c *zookeeper.Config) { c.TLS.Certificate, c.TLS.Key = s.IssueExpired("expired", true) }, []string{"does not accept this client"}},
		"another CA":             {func(c *zookeeper.Config) { c.TLS.CA = stranger.File }, []string{"zookeeper.tls.ca is not the CA"}},
		"another name":           {func(c *zookeeper.Config) { c.TLS.ServerName = "zk.other" }, []string{"zk.test", "not zk.other", "zookeeper.tls.server-name", "zookeeper.tls.check-names"}},
		"another's key":          {func(c *zookeeper.Config) { _, c.TLS.Key = stranger.Issue("x", true) }, []string{"private key does not match"}},
		"no such CA":             {func(c *zookeeper.Config) { c.TLS.CA = "/nonexistent/ca.pem" }, []string{"/nonexistent/ca.pem"}},
		"a CA that is none":      {func(c *zookeeper.Config) { c.TLS.CA = s.key }, []string{"holds no certificate"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := s.config("refusing")
			cfg.Logger = logger(t)
			test.change(&cfg)
			ctx := within(t, time.Minute)
			store, err := zookeeper.Open(ctx, cfg)
			if err == nil {
				store.Close()
				t.Fatal("Open succeeded")
			}
			if ctx.Err() != nil {
				t.Error("it was not told at once")
			}
			t.Log(err)
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v: want %q in it", err, want)
				}
			}
		})
	}
	for name, change := range map[string]func(*zookeeper.Config){
		"its other name": func(c *zookeeper.Config) { c.TLS.ServerName = "zk.test" },
		"any name":       func(c *zookeeper.Config) { c.TLS.ServerName, c.TLS.AnyName = "zk.other", true },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := s.config("refusing")
			change(&cfg)
			openWith(t, cfg)
		})
	}
}

// refusedAfterTheHandshake: with TLS 1.3 a server looks at the client's certificate when the client
// has done with the handshake.
func (s *secured) refusedAfterTheHandshake(t *testing.T) {
	_, cfg := s.behindProxy(t, s.config("refusing"))
	cfg.TLS = &zksession.TLS{CA: s.File}
	ctx := within(t, time.Minute)
	store, err := zookeeper.Open(ctx, cfg)
	if err == nil {
		store.Close()
		t.Fatal("Open succeeded")
	}
	if ctx.Err() != nil || !strings.Contains(err.Error(), "certificate required: the server does not accept this client") {
		t.Errorf("Open: %v", err)
	}
}

// asSomebody gives another certificate: to its creator's ACL both are proof.
func (s *secured) asSomebody(c *zookeeper.Config) {
	c.TLS.Certificate, c.TLS.Key = s.Issue("somebody", true)
}

// Clear text at a TLS port, and TLS at one for clear text: tried on, and the reason is told.
func TestWrongKindOfPort(t *testing.T) {
	a := testensemble.NewAuthority(t)
	for name, cfg := range map[string]zookeeper.Config{
		"hung up: is this its port for TLS": {Servers: ensemble.Servers[0].Addr, TLS: &zksession.TLS{CA: a.File}},
	} {
		cfg.Logger = logger(t)
		_, err := zookeeper.Open(within(t, time.Second), cfg)
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("Open: %v, want %q in it", err, name)
		}
	}
}

// filesAreReadAgain: a session goes on over a connection with a renewed certificate.
func (s *secured) filesAreReadAgain(t *testing.T) {
	var p *testensemble.Proxy
	cfg := s.config("renewed")
	p, cfg = s.behindProxy(t, cfg)
	cfg.TLS.Certificate, cfg.TLS.Key = s.Issue("renewed", true)
	store := openWith(t, cfg)
	term := lead(t, store, "a")
	serial := p.PeerSerial()
	s.Issue("renewed", true) // over the same files
	p.Drop()
	if err := term.Check(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if p.PeerSerial() == serial {
		t.Error("the new connection has the old certificate")
	}
	if p.Sessions() != 1 {
		t.Errorf("%d sessions, want 1", p.Sessions())
	}
}

// inspect looks over TLS, with a password, and as somebody who has none.
func (s *secured) inspect(t *testing.T) {
	lead(t, openWith(t, s.config("looked-at")), "a")
	cfg := s.config("looked-at")
	r, err := zookeeper.Inspect(t.Context(), cfg, 0)
	if err != nil || r.Cluster.Error != "" || r.Cluster.Leader != "a" || r.Servers[0].Mode != "standalone" || r.Cluster.Changeable {
		t.Errorf("%+v, %v", r, err)
	}
	if found(r, zookeeper.Error, "") || !found(r, zookeeper.Warning, "the ensemble is one server") {
		t.Errorf("findings: %v", r.Findings)
	}
	cfg.AuthFile = s.secret("perennial:wrong")
	s.asSomebody(&cfg)
	if r, err = zookeeper.Inspect(t.Context(), cfg, 0); err != nil || !found(r, zookeeper.Error, "belongs to another user") {
		t.Errorf("with a wrong password: %v, %v", r.Findings, err)
	}
	cfg.AuthFile, cfg.ACL = "", zookeeper.ACLOpen
	if r, err = zookeeper.Inspect(t.Context(), cfg, 0); err != nil || !found(r, zookeeper.Error, "insists on authentication") {
		t.Errorf("without a password: %v, %v", r.Findings, err)
	}
}
