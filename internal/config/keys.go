package config

import (
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Name is a configuration key.
type Name string

// The keys. Their meanings are in Keys.
const (
	HighAvailability = Name("high-availability")
	ClusterID        = Name("cluster.id")
	StorageDir       = Name("storage.dir")
	S3Endpoint       = Name("storage.s3.endpoint")
	S3Region         = Name("storage.s3.region")
	S3PathStyle      = Name("storage.s3.path-style")
	LocalDir         = Name("coordination.local.dir")
	EmbeddedDir      = Name("coordination.embedded.dir")

	JobManagers       = Name("jobmanagers")
	JobManagerAddress = Name("jobmanager.rpc.address")
	JobManagerPort    = Name("jobmanager.rpc.port")
	JobManagerBind    = Name("jobmanager.bind-host")
	RestPort          = Name("rest.port")
	RestBind          = Name("rest.bind-host")

	HeartbeatInterval  = Name("heartbeat.interval")
	HeartbeatTimeout   = Name("heartbeat.timeout")
	TaskManagerTimeout = Name("taskmanager.timeout")

	CheckpointInterval = Name("checkpoint.interval")
	CheckpointTimeout  = Name("checkpoint.timeout")
	CheckpointMinPause = Name("checkpoint.min-pause")
	CheckpointRetained = Name("checkpoint.retained")
	CheckpointFailures = Name("checkpoint.tolerable-failures")

	JobsRetention = Name("jobs.retention")
	JobsRetained  = Name("jobs.retained")

	RestartStrategy       = Name("restart.strategy")
	RestartInitialBackoff = Name("restart.exponential-delay.initial-backoff")
	RestartMaxBackoff     = Name("restart.exponential-delay.max-backoff")
	RestartFixedAttempts  = Name("restart.fixed-delay.attempts")
	RestartFixedDelay     = Name("restart.fixed-delay.delay")
	RestartRateFailures   = Name("restart.failure-rate.max-failures-per-interval")
	RestartRateInterval   = Name("restart.failure-rate.interval")
	RestartRateDelay      = Name("restart.failure-rate.delay")

	TaskManagerIsolated = Name("taskmanager.isolated")
	TaskManagerLease    = Name("taskmanager.lease")

	TaskManagerSlots  = Name("taskmanager.slots")
	TaskManagerMemory = Name("taskmanager.memory")
	TaskManagerCPUs   = Name("taskmanager.cpus")
	TaskManagerLimits = Name("taskmanager.limits")
	TaskManagerDir    = Name("taskmanager.dir")
	TaskManagerBind   = Name("taskmanager.bind-host")
	TaskManagerHost   = Name("taskmanager.host")
	TaskManagerPort   = Name("taskmanager.data.port")

	ZooKeeperQuorum  = Name("zookeeper.quorum")
	ZooKeeperRoot    = Name("zookeeper.path.root")
	ZooKeeperLeader  = Name("zookeeper.path.leader")
	ZooKeeperEpoch   = Name("zookeeper.path.epoch")
	ZooKeeperHistory = Name("zookeeper.path.history")
	ZooKeeperMembers = Name("zookeeper.path.jobmanagers")
	ZooKeeperSession = Name("zookeeper.session-timeout")

	ZooKeeperACL            = Name("zookeeper.acl")
	ZooKeeperAuthFile       = Name("zookeeper.auth.file")
	ZooKeeperTLS            = Name("zookeeper.tls.enabled")
	ZooKeeperTLSCA          = Name("zookeeper.tls.ca")
	ZooKeeperTLSCertificate = Name("zookeeper.tls.certificate")
	ZooKeeperTLSKey         = Name("zookeeper.tls.key")
	ZooKeeperTLSServerName  = Name("zookeeper.tls.server-name")
	ZooKeeperTLSCheckNames  = Name("zookeeper.tls.check-names")

	EtcdEndpoints = Name("etcd.endpoints")

	LogLevel  = Name("log.level")
	LogFormat = Name("log.format")
)

// Key is one row of the reference.
type Key struct {
	Name    Name
	Type    string // string, port, count, duration, path, choice, host, list
	Default string // "" : unset
	Meaning string
	Since   string
	check   func(string) error
}

// Keys is every key there is: a key that is not here is refused.
var Keys = []Key{
	{HighAvailability, "choice", "", "none, zookeeper, etcd or embedded; unset, it is zookeeper if a quorum is set, else none", "0.1", oneOf("none", "zookeeper", "etcd", "embedded")},
	{ClusterID, "string", "default", "tells clusters apart that share one ensemble", "0.1", pathElement},
	{StorageDir, "path", "./data", "job binaries, checkpoints and what else must outlive processes: one directory shared by all JobManagers and TaskManagers, or s3://bucket/prefix", "0.1", directory},
	{S3Endpoint, "string", "", "http://host:port or https://host of the server of an s3:// location; unset, Amazon's. Credentials are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or in ~/.aws/credentials, or the host's role", "0.1", endpoint},
	{S3Region, "string", "", "the bucket's region; unset, Amazon is asked for it, and another server is told us-east-1", "0.1", pathElement},
	{S3PathStyle, "choice", "", "true: the bucket is in the path of a URL, false: in its host; unset, in the path but for Amazon", "0.1", oneOf("true", "false")},
	{LocalDir, "path", "./local", "without high availability: where the JobManager keeps its jobs, on a local disk", "0.1", directory},
	{EmbeddedDir, "path", "", "with the embedded quorum: where this member keeps its log, on a local disk; unset, ./quorum-<rest.port>", "0.1", directory},

	{JobManagers, "list", "", "host:rest-port of every JobManager, separated by commas, for the embedded quorum and for those who look for its leader; unset, the lines of conf/masters", "0.1", hostPorts},
	{JobManagerAddress, "host", "localhost", "the JobManager's host as others reach it", "0.1", hostName},
	{JobManagerPort, "port", "", "where TaskManagers and other JobManagers connect; 0 takes any free port; unset, it is 6123, and 0 with high availability", "0.1", port},
	{JobManagerBind, "host", "127.0.0.1", "the address that the JobManager's port is bound to", "0.1", hostName},
	{RestPort, "port", "8081", "the API; 0 takes any free port (not with the embedded quorum)", "0.1", port},
	{RestBind, "host", "127.0.0.1", "the address that the API is bound to", "0.1", hostName},

	{HeartbeatInterval, "duration", "100ms", "between heartbeats of the leader", "0.1", positive},
	{HeartbeatTimeout, "duration", "500ms", "silence of the leader after which a standby takes over; being wrong disturbs no task", "0.1", positive},
	{TaskManagerTimeout, "duration", "5s", "silence of a TaskManager after which it is declared dead; being wrong restarts its tasks", "0.1", positive},

	{CheckpointInterval, "duration", "10s", "between two checkpoints of a job", "0.1", positive},
	{CheckpointTimeout, "duration", "10m", "after which a checkpoint that is not complete is given up; the job goes on", "0.1", positive},
	{CheckpointMinPause, "duration", "0s", "at least, between the end of a checkpoint and the next", "0.1", notNegative},
	{CheckpointRetained, "count", "3", "completed checkpoints of a job that are kept", "0.1", atLeastOne},
	{CheckpointFailures, "count", "", "checkpoints of a job that may fail in a row; at one more it restarts from the newest one that did not; unset, any number", "0.1", zeroOrMore},

	{JobsRetention, "duration", "168h", "after which a job that has ended is forgotten, and its id refused; 0s: never. Checkpoints of a failed job stay", "0.1", notNegative},
	{JobsRetained, "count", "1000", "jobs that have ended that are remembered, the newest; of those beyond it, what ended more than an hour ago is forgotten; 0: any number", "0.1", anyNumber},

	{RestartStrategy, "choice", "exponential-delay", "whether a job runs again that lost a TaskManager or a task process: exponential-delay (always), fixed-delay, failure-rate or none", "0.1", oneOf("exponential-delay", "fixed-delay", "failure-rate", "none")},
	{RestartInitialBackoff, "duration", "100ms", "before the second restart without a completed checkpoint in between, then twice as long each time; the first does not wait", "0.1", positive},
	{RestartMaxBackoff, "duration", "1m", "at most, before a restart by exponential-delay", "0.1", positive},
	{RestartFixedAttempts, "count", "1", "restarts of a job, in all of its life; after them it fails", "0.1", atLeastOne},
	{RestartFixedDelay, "duration", "1s", "before each restart by fixed-delay", "0.1", notNegative},
	{RestartRateFailures, "count", "1", "restarts of a job within the interval, at most 100; at one more it fails", "0.1", oneToHundred},
	{RestartRateInterval, "duration", "1m", "in which restarts are counted by failure-rate", "0.1", positive},
	{RestartRateDelay, "duration", "1s", "before each restart by failure-rate", "0.1", notNegative},

	{TaskManagerIsolated, "choice", "run", "what tasks do while no leader reaches this TaskManager: run (for any time), or pause (they stand still from the end of the lease until they are reached again, so that no two attempts of a subtask run at a time, and a job that loses a TaskManager waits for its lease)", "0.1", oneOf("run", "pause")},
	{TaskManagerLease, "duration", "10s", "with taskmanager.isolated: pause, for how long tasks run without a leader; a lost TaskManager's are started elsewhere a lease and a fifth after it was declared dead", "0.1", positive},
	{TaskManagerSlots, "count", "", "how many subtasks of one vertex this TaskManager takes; unset, the number of CPUs", "0.1", atLeastOne},
	{TaskManagerMemory, "size", "", "for all task processes of this TaskManager together, of which each job has the part of its slots; unset, nine tenths of what the machine or container has", "0.1", size},
	{TaskManagerCPUs, "count", "", "for all task processes together, likewise: each job runs Go code on the part of its slots, rounded up; unset, all that there are", "0.1", atLeastOne},
	{TaskManagerLimits, "choice", "cgroup", "who keeps task processes to these: cgroup (the kernel, by control groups, where this process may make some, else as go), go (Go's collector and scheduler alone) or none", "0.1", oneOf("cgroup", "go", "none")},
	{TaskManagerDir, "path", "./taskmanager", "working directory: fetched job binaries, logs of task processes; one per TaskManager", "0.1", directory},
	{TaskManagerBind, "host", "127.0.0.1", "the address that the TaskManager's data port is bound to", "0.1", hostName},
	{TaskManagerHost, "host", "", "the TaskManager's host as other TaskManagers reach it; unset, localhost, and with another taskmanager.bind-host this host's name", "0.1", hostName},
	{TaskManagerPort, "port", "0", "where records of other TaskManagers arrive; 0 takes any free port", "0.1", port},

	{ZooKeeperQuorum, "list", "", "host[:port],[...]host[:port][/chroot] of the ZooKeeper servers, port 2181 if it is left out; all paths are below the chroot; setting the key turns high availability on", "0.1", quorum},
	{ZooKeeperRoot, "path", "/perennial", "the znode under which everything is, in one of its own for each cluster.id", "0.1", znode},
	{ZooKeeperLeader, "path", "/leader", "relative to the root and the cluster id: who leads, while it lives", "0.1", znode},
	{ZooKeeperEpoch, "path", "/epoch", "relative, like the leader's: the epoch in force", "0.1", znode},
	{ZooKeeperHistory, "path", "/history", "relative: the newest 64 leader changes", "0.1", znode},
	{ZooKeeperMembers, "path", "/jobmanagers", "relative: the JobManagers that are up", "0.1", znode},
	{ZooKeeperSession, "duration", "10s", "session time-out asked for; what the servers grant counts", "0.1", positive},
	{ZooKeeperACL, "choice", "open", "who may use the znodes that are made: open (everybody), or creator (who is authenticated as the process that made them); one that exists keeps its own", "0.1", oneOf("open", "creator")},
	{ZooKeeperAuthFile, "path", "", "a file with one line, user:password, for ZooKeeper's digest authentication; unset, none", "0.1", absolute},
	{ZooKeeperTLS, "choice", "false", "true: connections to ZooKeeper are TLS, at the ports that the quorum names (the servers' secureClientPort)", "0.1", oneOf("true", "false")},
	{ZooKeeperTLSCA, "path", "", "PEM file of the certificates that servers' are to be signed by; unset, those that the system trusts. This and the next two are read for each connection", "0.1", absolute},
	{ZooKeeperTLSCertificate, "path", "", "PEM file of the certificate that is shown to servers, and those in between; unset, none", "0.1", absolute},
	{ZooKeeperTLSKey, "path", "", "PEM file of the certificate's private key", "0.1", absolute},
	{ZooKeeperTLSServerName, "host", "", "the name that servers' certificates are for; unset, each server's in the quorum", "0.1", hostName},
	{ZooKeeperTLSCheckNames, "choice", "true", "false: any certificate will do that is signed by the CA", "0.1", oneOf("true", "false")},

	{EtcdEndpoints, "list", "", "host:port,[...]host:port of an etcd cluster, with high-availability: etcd", "0.1", hostPorts},

	{LogLevel, "choice", "info", "debug, info, warn or error", "0.1", oneOf("debug", "info", "warn", "error")},
	{LogFormat, "choice", "text", "text or json", "0.1", oneOf("text", "json")},
}

func find(n Name) *Key {
	for i := range Keys {
		if Keys[i].Name == n {
			return &Keys[i]
		}
	}
	return nil
}

// Env is the environment variable that sets the key: PERENNIAL_ZOOKEEPER_QUORUM.
func (n Name) Env() string {
	return "PERENNIAL_" + strings.NewReplacer(".", "_", "-", "_").Replace(strings.ToUpper(string(n)))
}

// defaultOf is a key's default where it depends on the machine or on other keys.
func (c *Config) defaultOf(n Name) string {
	switch n {
	case TaskManagerSlots:
		return strconv.Itoa(runtime.NumCPU())
	case HighAvailability:
		if c.values[ZooKeeperQuorum] != "" {
			return "zookeeper"
		}
		return "none"
	case JobManagerPort:
		if c.String(HighAvailability) == "none" {
			return "6123"
		}
		return "0"
	case TaskManagerHost:
		if host, err := os.Hostname(); err == nil && c.IsSet(TaskManagerBind) {
			return host
		}
		return "localhost"
	case EmbeddedDir: // several members may be started in one directory
		return "./quorum-" + c.String(RestPort)
	case JobManagers:
		return strings.Join(c.masters, ",")
	}
	return find(n).Default
}

func oneOf(choices ...string) func(string) error {
	return func(s string) error {
		for _, c := range choices {
			if s == c {
				return nil
			}
		}
		return fmt.Errorf("expected one of %s", strings.Join(choices, ", "))
	}
}

// directory refuses the shorthand that only a shell understands, and only at times.
func directory(s string) error {
	if strings.HasPrefix(s, "~") {
		return fmt.Errorf("expected a path; only a shell knows ~, write the home directory out")
	}
	return nil
}

// endpoint leaves it to whoever uses it to refuse one with credentials in it, which must not be repeated.
func endpoint(s string) error {
	if strings.Contains(s, "@") {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return fmt.Errorf("expected http://host:port or https://host")
	}
	return nil
}

// hostName checks a name or an address by itself, an IPv6 address with or without brackets.
func hostName(s string) error {
	bare := strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	if net.ParseIP(bare) == nil && strings.ContainsAny(s, " \t:/,[]") {
		return fmt.Errorf("expected a host name or an address, without a port")
	}
	return nil
}

func port(s string) error {
	if n, err := strconv.Atoi(s); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("expected a port number, 0 to 65535")
	}
	return nil
}

func atLeastOne(s string) error {
	if n, err := strconv.Atoi(s); err != nil || n < 1 {
		return fmt.Errorf("expected a whole number of at least 1")
	}
	return nil
}

func zeroOrMore(s string) error {
	if n, err := strconv.Atoi(s); err != nil || n < 0 {
		return fmt.Errorf("expected a whole number, 0 or more; leave it unset for any number")
	}
	return nil
}

func anyNumber(s string) error {
	if n, err := strconv.Atoi(s); err != nil || n < 0 {
		return fmt.Errorf("expected a whole number, or 0 for any")
	}
	return nil
}

// oneToHundred bounds what is kept in coordination, one time for each.
func oneToHundred(s string) error {
	if n, err := strconv.Atoi(s); err != nil || n < 1 || n > 100 {
		return fmt.Errorf("expected a whole number, 1 to 100")
	}
	return nil
}

// units are those of a size.
var units = []struct {
	name  string
	bytes int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}}

// bytesOf reads a size, such as 512MiB.
func bytesOf(s string) (int64, error) {
	for _, u := range units {
		if number, ok := strings.CutSuffix(s, u.name); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
			if err == nil && n > 0 && n <= math.MaxInt64/u.bytes {
				return n * u.bytes, nil
			}
		}
	}
	return 0, fmt.Errorf("expected a whole number with its unit, such as 512MiB or 4GiB")
}

func size(s string) error { _, err := bytesOf(s); return err }

func positive(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("expected a duration with its unit, such as 500ms or 10s")
	}
	if d <= 0 {
		return fmt.Errorf("expected a duration above zero")
	}
	return nil
}

func notNegative(s string) error {
	if d, err := time.ParseDuration(s); err != nil || d < 0 {
		return fmt.Errorf("expected a duration with its unit, such as 500ms, or 0s")
	}
	return nil
}

func pathElement(s string) error {
	if s == "" || s == "." || s == ".." || strings.ContainsAny(s, "/ \t\n") {
		return fmt.Errorf("expected a name without slashes and spaces")
	}
	return nil
}

func znode(s string) error {
	if !strings.HasPrefix(s, "/") || s == "/" || strings.HasSuffix(s, "/") || strings.Contains(s, "//") {
		return fmt.Errorf("expected a path such as /perennial: a slash first, none at the end")
	}
	return nil
}

// absolute wants a path that is the same for daemons and commands, wherever they are started.
func absolute(s string) error {
	if !filepath.IsAbs(s) {
		return fmt.Errorf("expected an absolute path: commands read the file too, wherever they are typed")
	}
	return nil
}

// quorum checks what coordination/zookeeper reads in full when it is used: hosts with or without
// ports, and one chroot after them.
func quorum(s string) error {
	hosts, path, chrooted := strings.Cut(s, "/")
	if chrooted && strings.Contains(path, ",") {
		return fmt.Errorf("expected one path, after the last server: host:port,host:port/path")
	}
	if chrooted && path != "" {
		if err := znode("/" + path); err != nil {
			return fmt.Errorf("the path %q: %w", "/"+path, err)
		}
	}
	entries := strings.Split(hosts, ",")
	for i, entry := range entries {
		entry = strings.TrimSpace(entry)
		if entry != "" && (!strings.Contains(entry, ":") || strings.HasSuffix(entry, "]")) {
			entry += ":2181"
		}
		entries[i] = entry
	}
	return hostPorts(strings.Join(entries, ","))
}

// hostPorts checks host:port,[...]host:port and says which entry is wrong. Names are resolved
// when they are used, not here: a name may come to life later.
func hostPorts(s string) error {
	seen := map[string]int{}
	for i, entry := range strings.Split(s, ",") {
		entry = strings.TrimSpace(entry)
		if first, twice := seen[entry]; twice && entry != "" {
			return fmt.Errorf("entries %d and %d are both %q; expected each server once", first, i+1, entry)
		}
		seen[entry] = i + 1
		if entry == "" {
			return fmt.Errorf("entry %d is empty; expected host:port,host:port", i+1)
		}
		host, p, err := net.SplitHostPort(entry)
		if err != nil {
			return fmt.Errorf("entry %d, %q: expected host:port (an IPv6 address in brackets)", i+1, entry)
		}
		if n, err := strconv.Atoi(p); host == "" || err != nil || n < 1 || n > 65535 {
			return fmt.Errorf("entry %d, %q: expected host:port with a port of 1 to 65535", i+1, entry)
		}
	}
	return nil
}
