package launch_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/perennial-io/perennial/internal/hostcluster"
	"github.com/perennial-io/perennial/stream"
)

// These tests run the scripts of bin/ as a person does, from a copy of the distribution.

var home string

func TestMain(m *testing.M) {
	if os.Getenv("PERENNIAL_ROLE") != "" { // it is the job of TestIsolatedTaskManager
		stream.Main("arrivals", arrivals)
	}
	dir, err := os.MkdirTemp("", "perennial-launch-")
	code := 1
	if err == nil {
		if home = filepath.Join(dir, "home"); install(dir) {
			code = m.Run()
		}
	}
	os.RemoveAll(dir)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// install makes a home that everybody may read, and says whether it could.
func install(dir string) bool {
	script := `set -e; chmod 755 "$1"; mkdir -p "$1/home/bin"; cp bin/*.sh "$1/home/bin"; cp -r conf "$1/home"; go build -o "$1/home/bin/perennial" ./cmd/perennial; go build -o "$1/home/wordcount" ./examples/wordcount; chmod -R a+rX "$1"`
	cmd := exec.Command("sh", "-c", script, "sh", dir)
	cmd.Dir = "../.."
	out, err := cmd.CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
	}
	return err == nil
}

// user is a person in a test.
type user struct {
	*hostcluster.Person
	t *testing.T
}

// eachUser runs a test as whoever runs it, and if that is root as an ordinary user too.
func eachUser(t *testing.T, do func(t *testing.T, u *user)) {
	t.Helper()
	for _, uid := range []int{os.Getuid(), 65534} {
		name := "as uid " + strconv.Itoa(uid)
		t.Run(name, func(t *testing.T) {
			if uid != os.Getuid() && os.Getuid() != 0 {
				t.Skip("only root can run scripts as another user")
			}
			do(t, newUser(t, uid))
		})
	}
}

func newUser(t *testing.T, uid int) *user {
	t.Helper()
	dir, err := os.MkdirTemp(filepath.Dir(home), "user-") // t.TempDir is of this process's user alone
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, uid, -1); err != nil {
		t.Fatal(err)
	}
	u := &user{&hostcluster.Person{Home: home, Dir: dir, UID: uid, Env: []string{"PERENNIAL_DATA_DIR=" + filepath.Join(dir, "data")}}, t}
	t.Cleanup(u.stopAll)
	return u
}

// stopAll leaves no process behind.
func (u *user) stopAll() {
	u.Path = ""
	for _, role := range []string{"jobmanager", "taskmanager", "zookeeper"} {
		if r := u.types(role+".sh", "stop-all"); r.Status != 0 {
			u.t.Errorf("%s stop-all: %s", role, r.Stderr)
		}
	}
	left, err := filepath.Glob(filepath.Join(u.Dir, "data", "run", "*.pid"))
	if err != nil || len(left) > 0 {
		u.t.Errorf("pid files are left: %q %v", left, err)
	}
}

type result struct{ hostcluster.Result }

// types runs a script until it ends.
func (u *user) types(script string, args ...string) result {
	u.t.Helper()
	r, err := u.Types(context.Background(), script, args...) // also after the test's end, to stop what it started
	if err != nil {
		u.t.Fatal(err)
	}
	return result{r}
}

func (u *user) command(path string, args ...string) *exec.Cmd {
	return u.Command(context.Background(), path, args...)
}

// expect requires a status, and texts on standard output and standard error taken together.
func (r result) expect(t *testing.T, status int, texts ...string) {
	t.Helper()
	if r.Status != status {
		t.Errorf("status %d, want %d:\n%s%s", r.Status, status, r.Stdout, r.Stderr)
	}
	for _, text := range texts {
		if !strings.Contains(r.Stdout+r.Stderr, text) {
			t.Errorf("it does not say %q:\n%s%s", text, r.Stdout, r.Stderr)
		}
	}
}

// configured gives the user a configuration directory with these files.
func (u *user) configured(files map[string]string) {
	u.t.Helper()
	try(u.t, u.Configure(files))
}

func try(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pids is the process of every pid file of a role, by the file's name.
func (u *user) pids(role string) []int {
	u.t.Helper()
	files, err := filepath.Glob(filepath.Join(u.Dir, "data", "run", "perennial-*-"+role+"-*.pid"))
	if err != nil {
		u.t.Fatal(err)
	}
	var pids []int
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			u.t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.Split(string(text), "\n")[0])
		if err != nil {
			u.t.Fatalf("%s: %v", f, err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// ports is n ports that were free a moment ago, and above each the one that Raft takes.
func ports(t *testing.T, n int) []int {
	t.Helper()
	var found []int
	for range 100 * n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		port := l.Addr().(*net.TCPAddr).Port
		raft, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port+1000))
		if err != nil {
			continue
		}
		defer raft.Close()
		if found = append(found, port); len(found) == n {
			return found
		}
	}
	t.Fatalf("found %d of %d free ports", len(found), n)
	return nil
}

// eventually tries until it succeeds, for some seconds.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal(err)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !os.IsNotExist(err)
}
