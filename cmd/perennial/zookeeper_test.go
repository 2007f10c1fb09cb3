package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/coordination/zookeeper"
	"github.com/perennial-io/perennial/internal/testensemble"
)

// TestZooKeeper: an ensemble that insists on a password is told of at once where none is given,
// and looked at where one is.
func TestZooKeeper(t *testing.T) {
	t.Parallel()
	e := testensemble.StartWith(t, 1, testensemble.Options{Settings: []string{"enforce.auth.enabled=true", "enforce.auth.schemes=digest"}})
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("perennial:pw\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	quorum := "zookeeper.quorum=" + e.Connect() + "/some/where"
	refused := typed(t, "zookeeper", "check", "--admin-port", "0", "-D", quorum)
	refused.expect(t, exitFailed, "errors: 2")
	if !strings.Contains(refused.stdout, "insists on authentication, and none was given: set zookeeper.auth.file") {
		t.Errorf("standard output:\n%s", refused.stdout)
	}
	b := inBackground(t, t.TempDir(), "jobmanager", "-D", "rest.port=0", "-D", quorum)
	b.says(t, "insists on authentication")
	b.interrupt(t)
	b = inBackground(t, t.TempDir(), "jobmanager", "-D", "rest.port=0", "-D", quorum, "-D", "zookeeper.auth.file="+secret, "-D", "zookeeper.acl=creator")
	b.says(t, "msg=leading")
	looked := typed(t, "zookeeper", "check", "--json", "-D", quorum, "-D", "zookeeper.auth.file="+secret, "-D", "zookeeper.acl=creator")
	looked.expect(t, exitWarned, "errors: 0")
	b.interrupt(t)
	var r zookeeper.Report
	if err := json.Unmarshal([]byte(looked.stdout), &r); err != nil {
		t.Fatalf("%v: %s", err, looked.stdout)
	}
	if r.Node != "/some/where/perennial/default" || r.Cluster.Epoch != 1 || !r.Cluster.Alive || len(r.Cluster.Members) != 1 || len(r.Findings) == 0 {
		t.Errorf("the report: %+v", r)
	}
}

func TestZooKeeperUsage(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"zookeeper frob":        `no command "frob"`,
		"zookeeper check extra": "check takes no argument",
		"zookeeper check":       "zookeeper.quorum is not set",
		"zookeeper check -D zookeeper.quorum=a -D cluster.id=a/b": "cluster.id",
		"zookeeper check --admin-port 70000":                      "--admin-port",
	} {
		typed(t, strings.Fields(line)...).expect(t, exitUsage, want)
	}
}

func TestVerdict(t *testing.T) {
	note, warning, failure := zookeeper.Finding{Level: zookeeper.Note}, zookeeper.Finding{Level: zookeeper.Warning}, zookeeper.Finding{Level: zookeeper.Error}
	if err := verdict([]zookeeper.Finding{note}); err != nil {
		t.Errorf("of a note: %v", err)
	}
	if err := verdict([]zookeeper.Finding{warning, note}); !errors.As(err, &warnedError{}) {
		t.Errorf("of a warning: %v", err)
	}
	if err := verdict([]zookeeper.Finding{failure, warning}); err == nil || errors.As(err, &warnedError{}) {
		t.Errorf("of an error: %v", err)
	}
}
