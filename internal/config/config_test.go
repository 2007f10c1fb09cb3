package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestPrecedence(t *testing.T) {
	dir := write(t, "perennial.yaml", "rest.port: 1000\ncluster.id: file\nheartbeat:\n  interval: 10ms\n")
	c, err := Load(dir, []string{"PERENNIAL_REST_PORT=2000", "PERENNIAL_CLUSTER_ID=env", "HOME=/"}, []string{"rest.port=3000"})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Int(RestPort); got != 3000 {
		t.Errorf("rest.port = %d; -D wins", got)
	}
	if got := c.String(ClusterID); got != "env" {
		t.Errorf("cluster.id = %q; the environment wins over the file", got)
	}
	if got := c.Duration(HeartbeatInterval); got != 10*time.Millisecond {
		t.Errorf("heartbeat.interval = %v; nested keys are read", got)
	}
	if got := c.Duration(TaskManagerTimeout); got != 5*time.Second {
		t.Errorf("taskmanager.timeout = %v; expected its default", got)
	}
}

func TestQuorumTurnsHighAvailabilityOn(t *testing.T) {
	plain, err := Load("", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if plain.String(HighAvailability) != "none" || plain.Int(JobManagerPort) != 6123 {
		t.Errorf("without a quorum: %s, port %d", plain.String(HighAvailability), plain.Int(JobManagerPort))
	}
	ha, err := Load("", nil, []string{"zookeeper.quorum=a:2181,b,[::1],[fd00::1]:2182/some/path"})
	if err != nil {
		t.Fatal(err)
	}
	if ha.String(HighAvailability) != "zookeeper" || ha.Int(JobManagerPort) != 0 {
		t.Errorf("with a quorum: %s, port %d", ha.String(HighAvailability), ha.Int(JobManagerPort))
	}
}

// TestHostInBrackets: an IPv6 address may have them, and is the same address as without.
func TestHostInBrackets(t *testing.T) {
	c, err := Load("", nil, []string{"rest.bind-host=[::1]", "jobmanager.rpc.address=fd00::1"})
	if err != nil {
		t.Fatal(err)
	}
	if bind, host := c.String(RestBind), c.String(JobManagerAddress); bind != "::1" || host != "fd00::1" {
		t.Errorf("%s and %s, want addresses without brackets", bind, host)
	}
}

// TestSecretsAreNotRepeated: who uses an endpoint with credentials refuses it, without a word of them.
func TestSecretsAreNotRepeated(t *testing.T) {
	for _, endpoint := range []string{"http://user:secret@h:1", "http://user:sec/ret@h", "http://user:secret%zz@h", "user:secret@h"} {
		if _, err := Load("", nil, []string{"storage.s3.endpoint=" + endpoint}); err != nil {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

func TestMistakes(t *testing.T) {
	tests := []struct {
		name      string
		file      string
		env       []string
		overrides []string
		want      []string
	}{
		{"unknown key in the file", "zookeper.quorum: a:1\n", nil, nil, []string{"perennial.yaml:1", `"zookeper.quorum"`, `"zookeeper.quorum"`}},
		{"unknown key by -D", "", nil, []string{"rest.prt=1"}, []string{`"rest.prt"`, `"rest.port"`}},
		{"unknown variable", "", []string{"PERENNIAL_ZOOKEEPER_QORUM=a:1"}, nil, []string{"PERENNIAL_ZOOKEEPER_QORUM", "PERENNIAL_ZOOKEEPER_QUORUM"}},
		{"not key=value", "", nil, []string{"rest.port"}, []string{"expected key=value"}},
		{"quorum with a path for each server", "", nil, []string{"zookeeper.quorum=a:2181/x,b:2181/x"}, []string{"one path, after the last server"}},
		{"quorum with a path that is none", "", nil, []string{"zookeeper.quorum=a:2181//x"}, []string{`"//x"`, "a slash first"}},
		{"quorum with an address without brackets", "", nil, []string{"zookeeper.quorum=a,::1"}, []string{"entry 2", `"::1"`, "in brackets"}},
		{"quorum with a server twice", "", nil, []string{"zookeeper.quorum=a,b,a:2181"}, []string{"entries 1 and 3", `"a:2181"`}},
		{"TLS that is off", "", nil, []string{"zookeeper.quorum=a", "zookeeper.tls.ca=/ca.pem"}, []string{"zookeeper.tls.ca", "zookeeper.tls.enabled is not true"}},
		{"a certificate without its key", "", nil, []string{"zookeeper.quorum=a", "zookeeper.tls.enabled=true", "zookeeper.tls.certificate=/c.pem"}, []string{"zookeeper.tls.key", "both or none"}},
		{"creator of nobody", "", nil, []string{"zookeeper.quorum=a", "zookeeper.acl=creator"}, []string{"zookeeper.auth.file"}},
		{"a relative path", "", nil, []string{"zookeeper.auth.file=secret"}, []string{`"secret"`, "absolute path"}},
		{"quorum with an empty entry", "", nil, []string{"zookeeper.quorum=a:2181,,b:2181"}, []string{"entry 2 is empty"}},
		{"bad size", "", nil, []string{"taskmanager.memory=512"}, []string{"taskmanager.memory", "512MiB"}},
		{"little memory", "", nil, []string{"taskmanager.memory=100MiB", "taskmanager.slots=4"}, []string{"100MiB for 4 slots", "32 MiB"}},
		{"bad duration", "", nil, []string{"heartbeat.interval=5"}, []string{"500ms"}},
		{"bad port", "", nil, []string{"rest.port=70000"}, []string{"0 to 65535"}},
		{"no slots", "", nil, []string{"taskmanager.slots=0"}, []string{"at least 1"}},
		{"unknown restart strategy", "", nil, []string{"restart.strategy=fixed"}, []string{"restart.strategy", "fixed-delay", "failure-rate"}},
		{"no restart attempts", "", nil, []string{"restart.fixed-delay.attempts=0"}, []string{"at least 1"}},
		{"a rate too high to count", "", nil, []string{"restart.failure-rate.max-failures-per-interval=101"}, []string{"1 to 100"}},
		{"even quorum", "", nil, []string{"high-availability=embedded", "jobmanagers=a:1,b:2"}, []string{"2 JobManagers", "even", "3 or 5"}},
		{"quorum of one", "", nil, []string{"high-availability=embedded", "jobmanagers=a:1"}, []string{"one JobManager", "3 or 5"}},
		{"quorum of seven", "", nil, []string{"high-availability=embedded", "jobmanagers=a:1,b:1,c:1,d:1,e:1,f:1,g:1"}, []string{"wait for 4", "3 or 5"}},
		{"a server twice", "", nil, []string{"jobmanagers=a:1,b:1,a:1"}, []string{"entries 1 and 3", `"a:1"`}},
		{"a host with a port", "", nil, []string{"jobmanager.rpc.address=a:1"}, []string{`"a:1"`, "without a port"}},
		{"a shell's home", "", nil, []string{"storage.dir=~/data"}, []string{`"~/data"`, "only a shell"}},
		{"a key twice", "rest.port: 1\nrest:\n  port: 2\n", nil, nil, []string{"perennial.yaml:3", "line 1 already"}},
		{"zookeeper without a quorum", "", nil, []string{"high-availability=zookeeper"}, []string{"zookeeper.quorum is not set"}},
		{"a lease that is too short", "", nil, []string{"taskmanager.isolated=pause", "taskmanager.lease=900ms"}, []string{"taskmanager.lease is 900ms", "at least 1.5s", "taskmanager.isolated to run"}},
		{"a lease without an end", "", nil, []string{"taskmanager.isolated=pause", "taskmanager.lease=2562047h"}, []string{"taskmanager.lease is 2562047h", "at most 24h"}},
		{"a lease of few heartbeats", "taskmanager.isolated: pause\n", nil, []string{"heartbeat.interval=2s", "heartbeat.timeout=5s"}, []string{"heartbeat.interval 2s", "at least 20s"}},
		{"a lease below overlooked silences", "taskmanager.isolated: pause\n", nil, []string{"taskmanager.timeout=1m"}, []string{"taskmanager.timeout 1m", "at least 12s"}},
		{"neither run nor pause", "", nil, []string{"taskmanager.isolated=stop"}, []string{"run, pause"}},
		{"time-out below the interval", "", nil, []string{"heartbeat.timeout=100ms"}, []string{"twice"}},
		{"a list", "rest.port: [1, 2]\n", nil, nil, []string{"perennial.yaml:1", "not a list"}},
		{"broken YAML", "a: b: c\n", nil, nil, []string{"perennial.yaml"}},
		{"both are told", "rest.prt: 1\n", nil, []string{"heartbeat.interval=x"}, []string{"rest.prt", "heartbeat.interval"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Load(write(t, "perennial.yaml", test.file), test.env, test.overrides)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not mention %q", err, want)
				}
			}
		})
	}
}

// TestDefaults holds the table to its own rules.
func TestDefaults(t *testing.T) {
	c, err := Load("", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range Keys {
		if v := c.String(k.Name); v != "" && k.check != nil {
			if err := k.check(v); err != nil {
				t.Errorf("%s: default %q: %v", k.Name, v, err)
			}
		}
		if k.Meaning == "" || k.Since == "" {
			t.Errorf("%s: the reference wants a meaning and a version", k.Name)
		}
	}
}
