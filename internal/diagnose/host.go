package diagnose

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/config"
	"github.com/perennial-io/perennial/internal/inspect"
)

const (
	dialTime    = 2 * time.Second  // for a connection to a server of the quorum
	storageTime = 10 * time.Second // for all that is asked of the shared storage
)

// Host checks what this host can tell of a configuration, before a start and after.
type Host struct {
	Config  *config.Config
	ConfDir string // "": none
	// Directories are those that processes write to on this host.
	Directories []Directory
	// Servers are those of coordination, host:port; nil where it has none of its own.
	Servers []string
	// Storage opens the shared storage.
	Storage func(context.Context) (inspect.Tokens, error)
	// Self asks the JobManager of a REST address who it is.
	Self func(ctx context.Context, rest string) (client.Self, error)
}

// Directory is one, and the key or variable that names it.
type Directory struct{ Key, Path string }

// Check looks at everything, in the order in which it matters.
func (h Host) Check(ctx context.Context) (list []Finding) {
	for _, look := range []func(context.Context) []Finding{h.files, h.names, h.directories, h.storage, h.ports, h.quorum} {
		list = append(list, look(ctx)...)
	}
	return list
}

func (h Host) files(context.Context) (list []Finding) {
	if h.ConfDir == "" {
		return []Finding{fine("file", "conf", "there is none; every key is at its default, but for the environment and -D")}
	}
	look := func(name string, read func() error) {
		path := filepath.Join(h.ConfDir, name)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			list = append(list, fine("file", path, "there is none, and none is needed"))
		} else if err := read(); err != nil {
			list = append(list, wrong("file", path, err, "mend the line"))
		} else {
			list = append(list, fine("file", path, "can be read"))
		}
	}
	well := func() error { return nil } // it has been read with the configuration
	look("perennial.yaml", well)
	look("masters", well)
	look("workers", func() error { _, err := config.ReadWorkers(h.ConfDir); return err })
	look("zoo.cfg", func() error { _, err := config.ReadEnsemble(h.ConfDir); return err })
	return list
}

// names resolves the hosts that are named.
func (h Host) names(ctx context.Context) (list []Finding) {
	ctx, cancel := context.WithTimeout(ctx, 2*dialTime)
	defer cancel()
	names := []string{h.Config.String(config.JobManagerAddress)}
	for _, entry := range slices.Concat(h.Config.List(config.JobManagers), h.Servers) {
		host, _, _ := net.SplitHostPort(entry) // checked when it was set
		names = append(names, host)
	}
	if h.ConfDir != "" {
		workers, _ := config.ReadWorkers(h.ConfDir) // files says what is wrong with it
		names = append(names, workers...)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	list = make([]Finding, len(names))
	var lookups sync.WaitGroup
	for i, name := range names {
		lookups.Go(func() {
			addresses, err := net.DefaultResolver.LookupHost(ctx, name)
			list[i] = nameFinding(name, addresses, err, h.open())
		})
	}
	lookups.Wait()
	return list
}

// open tells whether other hosts are to reach this one.
func (h Host) open() bool {
	return slices.ContainsFunc([]config.Name{config.JobManagerBind, config.RestBind, config.TaskManagerBind}, func(n config.Name) bool {
		ip := net.ParseIP(h.Config.String(n))
		return h.Config.String(n) != "localhost" && (ip == nil || !ip.IsLoopback())
	})
}

func nameFinding(name string, addresses []string, err error, open bool) Finding {
	loopback := func(a string) bool { ip := net.ParseIP(a); return ip != nil && ip.IsLoopback() }
	switch {
	case err != nil:
		return wrong("name", name, fmt.Errorf("it does not resolve on this host: %w", err), "add it to DNS or to /etc/hosts, on all hosts")
	case open && slices.ContainsFunc(addresses, loopback) && net.ParseIP(name) == nil && name != "localhost":
		return wrong("name", name, fmt.Errorf("it resolves to %s here, which is every host itself", strings.Join(addresses, ", ")), "take it out of the line of 127.0.1.1 in /etc/hosts, and give it the address by which other hosts reach it")
	}
	return fine("name", name, "is %s on this host", strings.Join(addresses, ", "))
}

// directories writes to the local directories, or to what is there of them.
func (h Host) directories(context.Context) (list []Finding) {
	for _, d := range h.Directories {
		about := d.Key + " " + d.Path
		if err := writable(d.Path); err != nil {
			list = append(list, wrong("directory", about, err, "free space on its disk, or have "+d.Key+" name a directory that this user can write"))
		} else {
			list = append(list, fine("directory", about, "can be written"))
		}
	}
	return list
}

// writable writes to a directory, or where it is not there yet, to the one that it would be made in.
func writable(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	for {
		if info, err := os.Stat(dir); err == nil && !info.IsDir() {
			return fmt.Errorf("%s is no directory", dir)
		} else if err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	f, err := os.CreateTemp(dir, ".perennial-doctor-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(make([]byte, 64<<10)) // a full disk makes files, and fills none
	return errors.Join(err, f.Close())
}

// storage waits for the shared storage no longer than it must: a mount whose server is away lets go of nobody, and the other
// checks are to be told.
func (h Host) storage(ctx context.Context) []Finding {
	ctx, cancel := context.WithTimeoutCause(ctx, storageTime, fmt.Errorf("no answer within %v", storageTime))
	defer cancel()
	found := make(chan Finding, 1)
	go func() { found <- h.tryStorage(ctx) }()
	select {
	case f := <-found:
		return []Finding{f}
	case <-ctx.Done():
		return []Finding{wrong("storage", h.storageDir(), context.Cause(ctx), "see whether its server, or the network to it, is away")}
	}
}

// storageDir is what to call a storage that is not open. One with credentials in it, which is refused, is not repeated.
func (h Host) storageDir() string {
	if dir := h.Config.String(config.StorageDir); !strings.Contains(dir, "@") {
		return dir
	}
	return string(config.StorageDir)
}

func (h Host) tryStorage(ctx context.Context) Finding {
	s, err := h.Storage(ctx)
	if err != nil {
		return wrong("storage", h.storageDir(), err, "see docs/storage.md")
	}
	token := "doctor-" + string(client.NewID())
	err = s.PutToken(ctx, token)
	var has bool
	if err == nil {
		has, err = s.HasToken(ctx, token)
	}
	err = errors.Join(err, s.DeleteToken(ctx, token))
	if err == nil && !has {
		err = errors.New("what was written is not there")
	}
	if err != nil {
		return wrong("storage", s.Dir(), err, "see docs/storage.md")
	}
	return fine("storage", s.Dir(), "can be written and read from this host")
}

// ports says of each port of this host whether it is free, or whose it is.
func (h Host) ports(ctx context.Context) (list []Finding) {
	rest := net.JoinHostPort(h.Config.String(config.RestBind), h.Config.String(config.RestPort))
	self, selfErr := h.Self(ctx, rest)
	for _, p := range []struct {
		key, bind config.Name
	}{{config.RestPort, config.RestBind}, {config.JobManagerPort, config.JobManagerBind}, {config.TaskManagerPort, config.TaskManagerBind}} {
		port := h.Config.String(p.key)
		if port == "0" {
			continue // any free one is taken
		}
		about := string(p.key) + " " + port
		ln, err := net.Listen("tcp", net.JoinHostPort(h.Config.String(p.bind), port))
		switch {
		case err == nil:
			ln.Close()
			list = append(list, fine("port", about, "is free"))
		case !errors.Is(err, syscall.EADDRINUSE):
			list = append(list, wrong("port", about, err, "set "+string(p.bind)+" to an address of this host"))
		case selfErr == nil && (p.key == config.RestPort || strings.HasSuffix(self.RPC, ":"+port)):
			list = append(list, fine("port", about, "is that of JobManager %s, which runs", self.ID))
		default:
			list = append(list, takenFinding(p.key, about, port))
		}
	}
	return list
}

func takenFinding(key config.Name, about, port string) Finding {
	number, _ := strconv.Atoi(port) // checked when it was set
	owner := portOwner(number)
	if key == config.TaskManagerPort && strings.Contains(owner, "perennial") {
		return fine("port", about, "is taken by %s", owner)
	}
	return wrong("port", about, fmt.Errorf("is taken by %s", owner), fmt.Sprintf("stop that, or set %s to another", key))
}

// quorum connects to the servers of coordination.
func (h Host) quorum(ctx context.Context) []Finding {
	mode := h.Config.String(config.HighAvailability)
	key := map[string]config.Name{"zookeeper": config.ZooKeeperQuorum, "etcd": config.EtcdEndpoints}[mode]
	switch {
	case mode == "embedded":
		return []Finding{fine("quorum", mode, "is the JobManagers %s", h.Config.String(config.JobManagers))}
	case key == "":
		return []Finding{fine("quorum", mode, "there is no high availability, and one JobManager")}
	}
	var list []Finding
	answering := 0
	for _, s := range h.Servers {
		d := net.Dialer{Timeout: dialTime}
		conn, err := d.DialContext(ctx, "tcp", s)
		if err != nil {
			list = append(list, wrong("quorum", s, err, "start it, if the cluster is to run; "+string(key)+" names it"))
			continue
		}
		conn.Close()
		answering++
		list = append(list, fine("quorum", s, "accepts connections"))
	}
	if answering <= len(h.Servers)/2 {
		return append(list, wrong("quorum", mode, fmt.Errorf("%d of %d servers accept connections, and a majority is %d", answering, len(h.Servers), len(h.Servers)/2+1), "without a majority nobody can lead; running tasks go on"))
	}
	return append(list, fine("quorum", mode, "%d of %d servers accept connections", answering, len(h.Servers)))
}
