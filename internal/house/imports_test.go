package house

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/perennial-io/perennial/"

// rules says what a room must not see. A room is a path below the module; "x/..." is it and
// everything in it. Imports of tests are free.
var rules = []struct {
	rooms  []string
	forbid []string
	reason string
}{
	{
		[]string{"internal/job", "internal/keeper", "internal/record", "internal/boottime", "internal/build", "internal/config", "internal/daemon", "internal/hosts", "internal/inspect", "internal/failpoint", "internal/meter", "internal/restart", "internal/stored", "internal/strangers", "coordination", "coordination/zookeeper/zksession"},
		[]string{"..."},
		"leaves are what everything else stands on: they import nothing of the module (coordination's root holds the contract alone, and zksession is of use without Perennial)",
	},
	{
		[]string{"stream/...", "connector/...", "streamtest/...", "internal/operator/...", "internal/shuffle/...", "internal/task/...", "state/...", "examples/..."},
		[]string{"internal/jobmanager/...", "internal/taskmanager/...", "internal/rest/...", "client/...", "internal/config/...",
			"coordination/zookeeper/...", "coordination/etcd/...", "coordination/local/...", "go.etcd.io/...", "github.com/go-zookeeper/..."},
		"a job binary must not link the cluster: it would be 30 MB, and a job could reach the control plane",
	},
	{
		[]string{"stream/...", "connector/...", "streamtest/...", "internal/state", "internal/operator/...", "internal/shuffle/...", "internal/task/...", "cmd/...", "client/..."},
		[]string{"state/...", "github.com/cockroachdb/..."},
		"only a job that imports state/disk links Pebble",
	},
	{
		[]string{"internal/jobmanager/..."},
		[]string{"internal/taskmanager/...", "stream/...", "connector/...", "internal/operator/...", "internal/shuffle/...", "internal/task/..."},
		"a JobManager runs no user code, touches no record, and meets TaskManagers in internal/rpc only",
	},
	{
		[]string{"internal/taskmanager/..."},
		[]string{"internal/jobmanager/...", "internal/rest/...", "stream/...", "connector/...", "internal/operator/...", "internal/task/..."},
		"a TaskManager supervises processes, and meets JobManagers in internal/rpc only",
	},
	{
		[]string{"internal/jobmanager/execution"},
		[]string{"net", "net/http", "os", "context", "sync", "coordination/memory", "coordination/local", "coordination/etcd/...", "coordination/zookeeper", "internal/storage"},
		"the execution graph decides and does nothing: no clock, no I/O, no goroutine",
	},
	{
		[]string{"internal/checkpoint"},
		[]string{"net", "net/http", "os", "context", "sync", "client/...", "connector/...", "coordination/...", "stream/...", "internal/api", "internal/build", "internal/config",
			"internal/jobmanager/...", "internal/meter", "internal/operator/...", "internal/rest/...", "internal/rpc", "internal/shuffle/...",
			"internal/storage", "internal/strangers", "internal/task/...", "internal/taskmanager/..."},
		"what a checkpoint is is decided from values of internal/job alone, and from schemas as internal/record reads them: no I/O, no goroutine",
	},
	{
		[]string{"client/..."},
		[]string{"internal/jobmanager/...", "internal/taskmanager/...", "internal/rest/...", "stream/...", "coordination/zookeeper/...", "coordination/etcd/..."},
		"a program that submits jobs links neither the cluster nor a coordination client that it does not use",
	},
	{
		[]string{"cmd/...", "client/...", "stream/...", "connector/...", "internal/jobmanager/...", "internal/taskmanager/...", "internal/demo"},
		[]string{"internal/minicluster", "internal/testensemble", "internal/testetcd", "internal/tests3", "internal/testhosts", "internal/testproxy", "internal/testclock", "internal/chaos/...", "internal/hostcluster", "coordination/coordinationtest", "internal/storage/storagetest", "internal/stored/storedtest", "testing"},
		"what is for tests stays out of the binaries",
	},
	{
		[]string{"coordination/...", "internal/rpc", "internal/api", "internal/storage"},
		[]string{"internal/jobmanager/...", "internal/taskmanager/...", "internal/task/...", "internal/shuffle/...", "internal/operator/...", "stream/...", "client/..."},
		"what carries the protocol does not know who speaks it",
	},
}

type pkg struct {
	ImportPath string
	Doc        string
	Imports    []string
	GoFiles    []string
	Deps       []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	list := exec.Command("go", "list", "-json=ImportPath,Doc,Imports,Deps,GoFiles", "./...")
	list.Dir = "../.."
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// matches tells whether an import path is in a room of the module, or is a package of elsewhere.
func matches(path, pattern string) bool {
	local, inside := strings.CutPrefix(path, module)
	if inside {
		path = local
	}
	if pattern == "..." {
		return inside
	}
	if room, deep := strings.CutSuffix(pattern, "/..."); deep {
		return path == room || strings.HasPrefix(path, room+"/")
	}
	return path == pattern
}

func TestImports(t *testing.T) {
	checked := 0
	for _, p := range packages(t) {
		for _, rule := range rules {
			for _, room := range rule.rooms {
				if !matches(p.ImportPath, room) {
					continue
				}
				checked++
				for _, forbidden := range rule.forbid {
					for _, imported := range seen(p, forbidden) {
						if matches(imported, forbidden) {
							t.Errorf("%s must not see %s: %s", strings.TrimPrefix(p.ImportPath, module), imported, rule.reason)
						}
					}
				}
			}
		}
	}
	if checked < len(rules) {
		t.Errorf("only %d packages met a rule: are the rooms' names still right?", checked)
	}
}

// seen is what a package imports: for rooms of the module and dependencies through others too, for
// the standard library directly only (everything reaches os in the end).
func seen(p pkg, forbidden string) []string {
	switch forbidden {
	case "net", "net/http", "os", "testing", "time", "context", "sync":
		return p.Imports
	}
	return p.Deps
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) > 0 && len(p.Doc) < 20 {
			t.Errorf("%s has no package comment: say what it is, what it never does, which goroutines it owns", strings.TrimPrefix(p.ImportPath, module))
		}
	}
}
