// Package config reads what an operator configures: conf/perennial.yaml with flat dotted keys,
// overridden by the environment (PERENNIAL_ZOOKEEPER_QUORUM), overridden by -D key=value; the hosts
// in conf/masters and conf/workers; and the servers in conf/zoo.cfg.
//
// Keys is the table of all keys; whatever is not in it is refused with the name of the nearest
// that is. Values are checked when they are read, all of them, so that one start tells every
// mistake. The package starts nothing and keeps nothing open.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Config is a checked configuration.
type Config struct {
	values  map[Name]string
	masters []string // host:rest-port, from conf/masters
}

// reserved are environment variables of Perennial that are no configuration keys.
var reserved = map[string]bool{"PERENNIAL_CONF_DIR": true, "PERENNIAL_ROLE": true, "PERENNIAL_LOG_DIR": true, "PERENNIAL_PID_DIR": true,
	"PERENNIAL_DATA_DIR": true, "PERENNIAL_SSH_OPTS": true, "PERENNIAL_LOG_FILE": true, "PERENNIAL_FAILPOINTS": true, "PERENNIAL_BALLAST_MIB": true, "PERENNIAL_MEMORY": true}

// Load reads dir (which may be "" for none) and applies environ (as from os.Environ) and
// overrides, each "key=value". A file that is not there is an empty one; everything that is
// wrong is told in one error.
func Load(dir string, environ, overrides []string) (*Config, error) {
	c := &Config{values: map[Name]string{}}
	var problems []error
	if dir != "" {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("configuration directory %s: there is no such directory; --conf or PERENNIAL_CONF_DIR names it", dir)
		}
		problems = append(problems, c.readFile(filepath.Join(dir, "perennial.yaml"))...)
		masters, errs := readMasters(filepath.Join(dir, "masters"))
		c.masters = masters
		problems = append(problems, errs...)
	}
	problems = append(problems, c.readEnvironment(environ)...)
	for _, o := range overrides {
		key, value, ok := strings.Cut(o, "=")
		if !ok {
			problems = append(problems, fmt.Errorf("-D %s: expected key=value", o))
			continue
		}
		problems = append(problems, c.set(key, value, "-D "+o))
	}
	problems = append(problems, c.checkTogether()...)
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Config) set(key, value, origin string) error {
	k := find(Name(key))
	if k == nil {
		return fmt.Errorf("%s: there is no key %q; the nearest is %q", origin, key, nearest(key))
	}
	if value == "" {
		delete(c.values, k.Name) // empty: back to the default
		return nil
	}
	if k.check != nil {
		if err := k.check(value); err != nil {
			return fmt.Errorf("%s: %s is %q: %w", origin, key, value, err)
		}
	}
	if k.Type == "host" {
		value = strings.Trim(value, "[]") // an address is one by itself, whoever puts a port behind it
	}
	c.values[k.Name] = value
	return nil
}

func (c *Config) readFile(path string) []error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return []error{err}
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return []error{fmt.Errorf("%s: %w", path, err)}
	}
	if len(doc.Content) == 0 {
		return nil
	}
	return c.readMapping(path, "", doc.Content[0], map[string]int{})
}

// readMapping takes flat dotted keys, and nested ones as well: "rest: {port: 8081}". seen has
// the line of each key that the file has given.
func (c *Config) readMapping(path, prefix string, n *yaml.Node, seen map[string]int) []error {
	if n.Kind != yaml.MappingNode {
		return []error{fmt.Errorf("%s:%d: expected lines of the form key: value", path, n.Line)}
	}
	var problems []error
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := prefix+n.Content[i].Value, n.Content[i+1]
		origin := fmt.Sprintf("%s:%d", path, n.Content[i].Line)
		if first, twice := seen[key]; twice && value.Kind != yaml.MappingNode {
			problems = append(problems, fmt.Errorf("%s: %s is set in line %d already", origin, key, first))
			continue
		}
		seen[key] = n.Content[i].Line
		switch value.Kind {
		case yaml.ScalarNode:
			text := value.Value
			if value.Tag == "!!null" {
				text = ""
			}
			problems = append(problems, c.set(key, text, origin))
		case yaml.MappingNode:
			problems = append(problems, c.readMapping(path, key+".", value, seen)...)
		default:
			problems = append(problems, fmt.Errorf("%s: %s: expected one value, not a list", origin, key))
		}
	}
	return problems
}

func (c *Config) readEnvironment(environ []string) []error {
	byEnv := map[string]Name{}
	for _, k := range Keys {
		byEnv[k.Name.Env()] = k.Name
	}
	var problems []error
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, "PERENNIAL_") || reserved[name] {
			continue
		}
		key, ok := byEnv[name]
		if !ok {
			guess := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, "PERENNIAL_"), "_", "."))
			problems = append(problems, fmt.Errorf("environment variable %s: no key is set by it; the nearest is %s", name, nearest(guess).Env()))
			continue
		}
		problems = append(problems, c.set(string(key), value, "environment variable "+name))
	}
	return problems
}

// leastMemory is what a task process of one slot wants, in bytes: Go's runtime and some batches.
const leastMemory = 32 << 20

// checkTogether finds what is wrong between keys that are right by themselves.
func (c *Config) checkTogether() []error {
	var problems []error
	switch c.String(HighAvailability) {
	case "zookeeper":
		if c.String(ZooKeeperQuorum) == "" {
			problems = append(problems, fmt.Errorf("high-availability is zookeeper, and zookeeper.quorum is not set: expected host:port,host:port,host:port"))
		}
		problems = append(problems, c.checkZooKeeper()...)
	case "etcd":
		if c.String(EtcdEndpoints) == "" {
			problems = append(problems, fmt.Errorf("high-availability is etcd, and etcd.endpoints is not set: expected host:port,host:port,host:port"))
		}
	case "embedded":
		if err := quorumSize(len(c.List(JobManagers))); err != nil {
			problems = append(problems, fmt.Errorf("high-availability is embedded, and %w; name 3 or 5 in conf/masters or by the key jobmanagers", err))
		}
	}
	if c.IsSet(TaskManagerMemory) && c.Bytes(TaskManagerMemory)/int64(c.Int(TaskManagerSlots)) < leastMemory {
		problems = append(problems, fmt.Errorf("taskmanager.memory is %s for %s slots: a slot wants to have at least %d MiB; raise it, or lower taskmanager.slots",
			c.String(TaskManagerMemory), c.String(TaskManagerSlots), leastMemory>>20))
	}
	if c.Duration(HeartbeatTimeout) < 2*c.Duration(HeartbeatInterval) {
		problems = append(problems, fmt.Errorf("heartbeat.timeout is %s and heartbeat.interval %s: the time-out wants to be at least twice the interval", c.String(HeartbeatTimeout), c.String(HeartbeatInterval)))
	}
	if least := c.leastLease(); c.String(TaskManagerIsolated) == "pause" && c.Duration(TaskManagerLease) < least {
		problems = append(problems, fmt.Errorf("taskmanager.lease is %s, which is too short for heartbeat.interval %s, heartbeat.timeout %s and taskmanager.timeout %s: tasks would stand still when a few heartbeats are late, another JobManager takes over, "+
			"or a silence is overlooked; set it to at least %v, shorten those, or set taskmanager.isolated to run",
			c.String(TaskManagerLease), c.String(HeartbeatInterval), c.String(HeartbeatTimeout), c.String(TaskManagerTimeout), least))
	}
	if c.String(TaskManagerIsolated) == "pause" && c.Duration(TaskManagerLease) > longestLease {
		problems = append(problems, fmt.Errorf("taskmanager.lease is %s: at most %v is taken, as the tasks of a lost TaskManager wait for longer than that before they are started elsewhere; 10s is usual",
			c.String(TaskManagerLease), longestLease))
	}
	return problems
}

// longestLease is far more than anybody waits for a lost TaskManager, and far less than what overflows when it is added to. JobManagers
// have the same (jobmanager.Heartbeats).
const longestLease = 24 * time.Hour

// leastLease is the shortest that can work: it lives through ten heartbeats; through a leader change, which begins with a silence, and
// comes when a part of the lease is over already; and through a part of what is no reason to declare a TaskManager dead. JobManagers
// compare it with what they have (jobmanager.Heartbeats).
func (c *Config) leastLease() time.Duration {
	return max(10*c.Duration(HeartbeatInterval), 3*c.Duration(HeartbeatTimeout), c.Duration(TaskManagerTimeout)/5)
}

// checkZooKeeper finds keys of authentication and TLS that would have no effect, or not the wanted one.
func (c *Config) checkZooKeeper() []error {
	var problems []error
	if c.String(ZooKeeperTLS) != "true" {
		for _, n := range []Name{ZooKeeperTLSCA, ZooKeeperTLSCertificate, ZooKeeperTLSKey, ZooKeeperTLSServerName, ZooKeeperTLSCheckNames} {
			if c.IsSet(n) {
				problems = append(problems, fmt.Errorf("%s is set, and has no effect while zookeeper.tls.enabled is not true", n))
			}
		}
	}
	if c.IsSet(ZooKeeperTLSCertificate) != c.IsSet(ZooKeeperTLSKey) {
		problems = append(problems, errors.New("of zookeeper.tls.certificate and zookeeper.tls.key one is set: expected both or none"))
	}
	if c.String(ZooKeeperACL) == "creator" && !c.IsSet(ZooKeeperAuthFile) && !c.IsSet(ZooKeeperTLSCertificate) {
		problems = append(problems, errors.New("zookeeper.acl is creator, and this process is nobody: set zookeeper.auth.file, or a certificate that is the same for all (zookeeper.tls.certificate)"))
	}
	return problems
}

// quorumSize refuses the numbers of JobManagers that make no good quorum.
func quorumSize(n int) error {
	switch {
	case n == 3 || n == 5:
		return nil
	case n == 0:
		return errors.New("no JobManagers are listed")
	case n == 1:
		return errors.New("one JobManager is listed, which is no quorum")
	case n%2 == 0:
		return fmt.Errorf("%d JobManagers are listed: an even number survives no more failures than %d", n, n-1)
	}
	return fmt.Errorf("%d JobManagers are listed: each write would wait for %d of them", n, n/2+1)
}

// String is the key's value, or its default.
func (c *Config) String(n Name) string {
	if v, ok := c.values[n]; ok {
		return v
	}
	return c.defaultOf(n)
}

// IsSet tells whether somebody set the key.
func (c *Config) IsSet(n Name) bool { _, ok := c.values[n]; return ok }

// Int is the value of a count or port.
func (c *Config) Int(n Name) int {
	v, err := strconv.Atoi(c.String(n))
	if err != nil {
		panic(fmt.Sprintf("config: %s is no number: %v", n, err)) // checked when it was set
	}
	return v
}

// Duration is the value of a duration.
func (c *Config) Duration(n Name) time.Duration {
	v, err := time.ParseDuration(c.String(n))
	if err != nil {
		panic(fmt.Sprintf("config: %s is no duration: %v", n, err)) // checked when it was set
	}
	return v
}

// Bytes is the value of a size.
func (c *Config) Bytes(n Name) int64 {
	v, err := bytesOf(c.String(n))
	if err != nil {
		panic(fmt.Sprintf("config: %s is no size: %v", n, err)) // checked when it was set
	}
	return v
}

// List is the value of a list, its elements trimmed; nil when it is unset.
func (c *Config) List(n Name) []string {
	v := c.String(n)
	if v == "" {
		return nil
	}
	parts := strings.Split(v, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}
