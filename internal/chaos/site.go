package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/perennial-io/perennial/internal/localcluster"
	"github.com/perennial-io/perennial/internal/testclock"
	"github.com/perennial-io/perennial/internal/testensemble"
	"github.com/perennial-io/perennial/internal/testhosts"
)

// Kind is what a site is made of.
type Kind struct {
	Coordination string // zookeeper or embedded
	Network      string // hosts, proxies, or "": loopback
}

func (k Kind) String() string {
	if k.Network == "" {
		return k.Coordination
	}
	return k.Coordination + "/" + k.Network
}

// ParseKind reads what String writes.
func ParseKind(text string) (Kind, error) {
	coordination, network, _ := strings.Cut(text, "/")
	k := Kind{coordination, network}
	if !slices.Contains([]string{"zookeeper", "embedded"}, coordination) || !slices.Contains([]string{"", "hosts", "proxies"}, network) || k.String() != text {
		return Kind{}, fmt.Errorf("a site %q: expected zookeeper or embedded, and after it nothing, /hosts or /proxies", text)
	}
	return k, nil
}

// best is a site of this kind with all that one may have.
func (k Kind) best() *Site {
	s := &Site{Kind: k, Storage: Storage{Dir: "storage", Small: true}, Disks: []string{"disk"}, clocks: map[string]testclock.Clock{"clock": ""}}
	if k.Coordination == "zookeeper" {
		s.Ensemble = &testensemble.Ensemble{}
	}
	switch k.Network {
	case "hosts":
		s.hosts = &layout{}
	case "proxies":
		s.proxies = &proxies{}
	}
	return s
}

// Sizes of a site's cluster.
const (
	jobManagers  = 3
	taskManagers = 3
	zooKeepers   = 3
)

// Site is a cluster, and all around it that faults reach. What is not there cannot fail: all but the cluster may be left
// out.
type Site struct {
	Kind     Kind
	Cluster  *localcluster.Cluster
	Storage  Storage
	Pause    bool                   // taskmanager.isolated is pause: no two attempts of a subtask may run at once
	Ensemble *testensemble.Ensemble // of ZooKeeper
	// Disks are file systems of coordination's own, small enough to be filled: of ZooKeeper one for all servers, of the embedded
	// quorum one for each JobManager.
	Disks   []string
	hosts   *layout // nil: there is one
	proxies *proxies
	clocks  map[string]testclock.Clock // by the name of a process
	read    map[string]int             // lines of each log that were looked at for crashes

	release []func() error // what is to be done at the end, the last first
}

// Programs are what a site's processes are made with.
type Programs struct {
	Perennial string // whose wall clock can be moved (testclock.Build), if Clocks says so
	Clocks    bool
	Isolated  string // taskmanager.isolated; "": the default
}

// Open makes a site with its files in a directory of its own, and returns once the cluster is whole. The caller closes it.
func Open(ctx context.Context, k Kind, dir string, p Programs) (_ *Site, err error) {
	s := &Site{Kind: k, Storage: Storage{Dir: filepath.Join(dir, "storage")}, clocks: map[string]testclock.Clock{}, Pause: p.Isolated == "pause"}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, errors.New("the site was not there after 2 minutes"))
	defer cancel()
	s.Storage.Small = s.small(s.Storage.Dir, "128m") == nil
	if k.Network == "hosts" {
		if err := s.layOut(ctx, filepath.Join(dir, "hosts")); err != nil {
			return nil, err
		}
	}
	if k.Coordination == "zookeeper" {
		if err := s.ensemble(ctx, filepath.Join(dir, "zookeeper")); err != nil {
			return nil, err
		}
	}
	return s, s.start(ctx, dir, p)
}

// small has a directory be a small file system until the site is closed.
func (s *Site) small(dir, size string) error {
	release, err := small(dir, size)
	if err == nil {
		s.release = append(s.release, release)
	}
	return err
}

func (s *Site) ensemble(ctx context.Context, dir string) (err error) {
	if s.small(dir, "96m") == nil {
		s.Disks = []string{dir}
	}
	var o testensemble.Options
	if s.hosts != nil {
		o.Hosts = s.hosts.zooKeepers()
	}
	if s.Ensemble, err = testensemble.ZooKeeperWith(ctx, dir, zooKeepers, o); err == nil {
		s.release = append(s.release, func() error { s.Ensemble.Close(); return nil })
	}
	return err
}

// start starts the cluster.
func (s *Site) start(ctx context.Context, dir string, p Programs) (err error) {
	config := localcluster.Config{
		Binary: p.Perennial, Dir: dir, JobManagers: jobManagers, TaskManagers: taskManagers, Slots: 4, Embedded: s.Kind.Coordination == "embedded",
		Settings: map[string]string{"checkpoint.interval": "200ms", "taskmanager.timeout": "4s", "zookeeper.session-timeout": "4s"},
	}
	if s.Ensemble != nil {
		config.Settings["zookeeper.quorum"] = s.Ensemble.Connect()
	}
	if p.Isolated != "" {
		config.Settings["taskmanager.isolated"], config.Settings["taskmanager.lease"] = p.Isolated, "2s"
	}
	places := map[string]localcluster.Place{}
	for _, role := range []string{localcluster.JobManager, localcluster.TaskManager} {
		for i := range 3 {
			place, err := s.place(role, i, dir, p)
			if err != nil {
				return err
			}
			places[processName(role, i)] = place
		}
	}
	config.Place = func(role string, i int) localcluster.Place { return places[processName(role, i)] }
	if s.Cluster, err = localcluster.Start(config); err != nil {
		return err
	}
	s.release = append(s.release, func() error { s.Cluster.Stop(); return nil })
	if s.proxies != nil {
		if err := s.proxies.before(s.Cluster.Rest); err != nil {
			return err
		}
	}
	c := s.Cluster.Client()
	defer c.Close()
	if err := s.Cluster.Ready(ctx, c); err != nil {
		return fmt.Errorf("the cluster does not get ready: %w\n%s", err, s.Cluster.Logs())
	}
	return nil
}

func processName(role string, i int) string { return fmt.Sprintf("%s-%d", role, i+1) }

// place says where a process is, with its own clock and its own disk.
func (s *Site) place(role string, i int, dir string, p Programs) (place localcluster.Place, err error) {
	name := processName(role, i)
	place.Own = map[string]string{}
	switch s.Kind.Network {
	case "hosts":
		h := s.hosts.of(name)
		place.Address, place.Enter = h.Address, h.Enter()
	case "proxies":
		if s.proxies == nil {
			s.proxies = &proxies{}
			s.release = append(s.release, s.proxies.close)
		}
		if err := s.proxies.place(&place, role, i, s.Ensemble); err != nil {
			return place, err
		}
	}
	if p.Clocks {
		clock, err := testclock.New(filepath.Join(dir, name+".clock"))
		if err != nil {
			return place, err
		}
		s.clocks[name] = clock
		place.Env = append(place.Env, clock.Env())
	}
	if s.Kind.Coordination == "embedded" && role == localcluster.JobManager {
		disk := filepath.Join(dir, "disks", name)
		if s.small(disk, "256m") == nil {
			s.Disks = append(s.Disks, disk)
			place.Own["coordination.embedded.dir"] = filepath.Join(disk, "quorum")
		}
	}
	return place, nil
}

// Keep copies what is on file systems in memory to where it stays, beside them.
func (s *Site) Keep() error {
	var failed error
	for _, dir := range append(s.Disks, s.Storage.Dir) {
		failed = errors.Join(failed, os.CopyFS(dir+"-left", os.DirFS(dir)))
	}
	return failed
}

// Close ends every process of the site and takes away what was made for it.
func (s *Site) Close() error {
	var failed error
	for _, release := range slices.Backward(s.release) {
		failed = errors.Join(failed, release())
	}
	s.release = nil
	return failed
}

// layout says which process is on which host.
type layout struct {
	all    *testhosts.Hosts
	byName map[string]*testhosts.Host
	zoo    []*testhosts.Host
}

// layOut makes hosts, and attaches this process to them.
func (s *Site) layOut(ctx context.Context, dir string) error {
	n := jobManagers + taskManagers
	if s.Kind.Coordination == "zookeeper" {
		n += zooKeepers
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	all, err := testhosts.New(ctx, dir, n)
	if err != nil {
		return err
	}
	s.release = append(s.release, all.Close)
	s.hosts = &layout{all: all, byName: map[string]*testhosts.Host{}, zoo: all.List[jobManagers+taskManagers:]}
	for i := range jobManagers {
		s.hosts.byName[processName(localcluster.JobManager, i)] = all.List[i]
	}
	for i := range taskManagers {
		s.hosts.byName[processName(localcluster.TaskManager, i)] = all.List[jobManagers+i]
	}
	return all.Attach(ctx)
}

func (l *layout) of(name string) *testhosts.Host { return l.byName[name] }

func (l *layout) zooKeepers() []testensemble.Host {
	var at []testensemble.Host
	for _, h := range l.zoo {
		at = append(at, testensemble.Host{Address: h.Address, Enter: h.Enter()})
	}
	return at
}
