package zookeeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/go-zookeeper/zk"

	"github.com/perennial-io/perennial/coordination/zookeeper/zksession"
)

// inspectPatience is how long each part of an inspection may take. The parts run at once.
const inspectPatience = 5 * time.Second

var errPatience = fmt.Errorf("no answer within %v", inspectPatience)

// rounds is how often a latency is measured; the median counts.
const rounds = 5

// Report is an ensemble, and one cluster on it, as a client sees them. What is not known is left out.
type Report struct {
	Node        string         `json:"node"` // the cluster's
	AskedMillis int64          `json:"askedSessionTimeoutMillis"`
	Servers     []ServerReport `json:"servers"`
	Members     []string       `json:"members,omitempty"` // of the ensemble, in ZooKeeper's words: server.1=host:2888:3888:participant;…
	MembersNot  string         `json:"membersNotTold,omitempty"`
	Cluster     ClusterReport  `json:"cluster"`
	Findings    []Finding      `json:"findings"`
}

// ServerReport is one server of the quorum string.
type ServerReport struct {
	Server        string   `json:"server"`
	Behind        int      `json:"serversBehind,omitempty"` // as many as its name has addresses
	Error         string   `json:"error,omitempty"`         // why there was no session with it
	Version       string   `json:"version,omitempty"`
	Mode          string   `json:"mode,omitempty"`                        // leader, follower, observer, standalone
	GrantedMillis int64    `json:"grantedSessionTimeoutMillis,omitempty"` // 0: no session
	ReadMillis    float64  `json:"readMillis,omitempty"`                  // answered by the server itself
	QuorumMillis  float64  `json:"quorumMillis,omitempty"`                // answered by way of the ensemble's leader
	TickMillis    int64    `json:"tickTimeMillis,omitempty"`
	SyncLimit     int64    `json:"syncLimit,omitempty"` // in ticks
	ForceSync     string   `json:"forceSync,omitempty"` // yes or no
	SkipACL       string   `json:"skipACL,omitempty"`   // yes or no
	NotTold       []string `json:"notTold,omitempty"`   // what was asked in vain, and why
}

// ClusterReport is what the cluster's nodes say.
type ClusterReport struct {
	Error      string         `json:"error,omitempty"` // why they could not be read, or may not be used
	Exists     bool           `json:"exists"`
	Format     int            `json:"format,omitempty"`
	By         string         `json:"by,omitempty"` // the build that made it
	Epoch      uint64         `json:"epoch"`
	Leader     string         `json:"leader,omitempty"`     // who leads, or led last
	LeaderData string         `json:"leaderData,omitempty"` // where it is
	Alive      bool           `json:"alive"`                // its session exists
	Members    []MemberReport `json:"jobmanagers,omitempty"`
	History    int            `json:"history"`              // epochs that are remembered
	Below      map[string]int `json:"below,omitempty"`      // other nodes directly below, and how many each has below itself
	Changeable bool           `json:"changeable,omitempty"` // by everybody
}

// MemberReport is a JobManager that is up.
type MemberReport struct {
	ID   string `json:"id"`
	Data string `json:"data"`
}

// Inspect looks at the ensemble and the cluster that cfg names, and changes nothing. It opens one
// session with each server, and asks the admin servers at adminPort (0: it does not). The error
// is of a malformed cfg; whatever else is wrong is in the report.
func Inspect(ctx context.Context, cfg Config, adminPort int) (Report, error) {
	cfg = cfg.withDefaults()
	servers, nodes, err := cfg.parse()
	if err != nil {
		return Report{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, inspectPatience, errPatience)
	defer cancel()
	r := Report{Node: nodes.base, AskedMillis: cfg.SessionTimeout.Milliseconds(), Servers: make([]ServerReport, len(servers))}
	var wg sync.WaitGroup
	for i, server := range servers {
		wg.Go(func() { r.Servers[i] = inspectServer(ctx, cfg, server, adminPort) })
	}
	wg.Go(func() { r.inspectCluster(ctx, cfg, servers, nodes) })
	wg.Wait()
	r.Findings = judge(r, cfg)
	return r, nil
}

// inspectServer has a session with one server, and asks it about itself meanwhile.
func inspectServer(ctx context.Context, cfg Config, server string, adminPort int) ServerReport {
	r := ServerReport{Server: server}
	one := cfg.session([]string{server})
	host, _, _ := net.SplitHostPort(server) // as parse has made it
	lookup := cfg.Lookup
	if lookup == nil {
		lookup = net.DefaultResolver.LookupHost
	}
	if addresses, err := lookup(ctx, host); err == nil {
		r.Behind = behind(addresses)
	}
	var wg sync.WaitGroup
	wg.Go(func() { r.ask(ctx, one, adminPort) })
	if err := r.measure(ctx, one); err != nil {
		r.Error = err.Error()
	}
	wg.Wait()
	return r
}

// behind is how many servers addresses may be of, each with one of either family.
func behind(addresses []string) int {
	six := 0
	for _, a := range addresses {
		if strings.Contains(a, ":") {
			six++
		}
	}
	return max(six, len(addresses)-six)
}

func (r *ServerReport) measure(ctx context.Context, one zksession.Config) error {
	s, err := zksession.Start(ctx, one)
	if err != nil {
		return err
	}
	defer s.Close()
	if r.ReadMillis, err = median(ctx, func() error { _, err := s.Exists(ctx, "/"); return err }); err != nil {
		return err
	}
	if r.QuorumMillis, err = median(ctx, func() error { return s.Sync(ctx, "/") }); err == nil {
		r.GrantedMillis = s.Timeout().Milliseconds() // else it is of no use
	}
	return err
}

// median is of several calls, in milliseconds, or of as many as ctx has time for: a server that is slow is one, and not away.
func median(ctx context.Context, ask func() error) (float64, error) {
	var took []time.Duration
	for len(took) < rounds {
		began := time.Now()
		if err := ask(); err != nil && (len(took) == 0 || ctx.Err() == nil) {
			return 0, err
		} else if err != nil {
			break
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return float64(took[len(took)/2].Microseconds()) / 1000, nil
}

// inspectCluster reads the ensemble's members and the cluster's nodes over any server.
func (r *Report) inspectCluster(ctx context.Context, cfg Config, servers []string, nodes layout) {
	session, err := zksession.Start(ctx, cfg.session(servers))
	if err == nil {
		defer session.Close()
		s := &store{session: session, layout: nodes, access: cfg.ACL, log: cfg.Logger}
		r.readMembers(ctx, s)
		err = r.Cluster.read(ctx, s)
	}
	if err != nil {
		r.Cluster.Error = err.Error()
	}
}

// readMembers reads what ZooKeeper tells every client of the ensemble. One server by itself tells nothing.
func (r *Report) readMembers(ctx context.Context, s *store) {
	n, err := s.get(ctx, "/zookeeper/config")
	if err != nil {
		r.MembersNot = err.Error()
		return
	}
	for line := range strings.Lines(string(n.Data)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "server.") {
			r.Members = append(r.Members, line)
		}
	}
	slices.Sort(r.Members)
}

func (r *ClusterReport) read(ctx context.Context, s *store) error {
	if err := s.session.Sync(ctx, "/"); err != nil {
		return err
	}
	n, err := s.get(ctx, s.base)
	if errors.Is(err, zk.ErrNoNode) {
		return nil
	}
	r.Exists = true
	if err != nil {
		return fmt.Errorf("read %s: %w", s.base, err)
	}
	if err := checkFormat(s.base, n.Data); err != nil {
		return err
	}
	f, _ := decodeFormat(n.Data)
	r.Format, r.By = f.Format, f.By
	acl, err := s.session.ACL(ctx, s.base)
	if err != nil {
		return fmt.Errorf("who may use %s: %w", s.base, err)
	}
	r.Changeable = changeable(acl)
	if err := r.readLeader(ctx, s); err != nil {
		return err
	}
	return r.readBelow(ctx, s)
}

func (r *ClusterReport) readLeader(ctx context.Context, s *store) error {
	n, err := s.get(ctx, s.epoch)
	if errors.Is(err, zk.ErrNoNode) {
		return nil // made by hand, and not used yet
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", s.epoch, err)
	}
	record, err := decodeRecord(s.epoch, n)
	if err != nil {
		return err
	}
	r.Epoch, r.Leader, r.LeaderData = uint64(record.Epoch), record.ID, text(record.Data)
	if r.Alive, err = s.exists(ctx, s.leader); err != nil {
		return err
	}
	members, err := s.Members(ctx)
	if err != nil && !errors.Is(err, zk.ErrNoNode) {
		return fmt.Errorf("read %s: %w", s.members, err)
	}
	for _, m := range members {
		r.Members = append(r.Members, MemberReport{m.ID, text(m.Data)})
	}
	return nil
}

// readBelow counts what the cluster keeps, without reading it.
func (r *ClusterReport) readBelow(ctx context.Context, s *store) error {
	names, err := s.children(ctx, s.base)
	if err != nil {
		return fmt.Errorf("list %s: %w", s.base, err)
	}
	r.Below = make(map[string]int)
	for _, name := range names {
		path := s.base + "/" + name
		n, err := s.get(ctx, path)
		switch {
		case errors.Is(err, zk.ErrNoNode):
			continue // gone since
		case err != nil:
			return fmt.Errorf("read %s: %w", path, err)
		case path == s.history:
			r.History = int(n.Stat.NumChildren)
		case s.reservedBy(path) == "":
			r.Below[name] = int(n.Stat.NumChildren)
		}
	}
	return nil
}

// text is data as a person reads it.
func text(data []byte) string {
	if json.Valid(data) || utf8.Valid(data) {
		return string(data)
	}
	return fmt.Sprintf("%d bytes", len(data))
}
