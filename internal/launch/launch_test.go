package launch

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/internal/config"
)

// TestCommand: what each instance of a role is started by.
func TestCommand(t *testing.T) {
	conf := t.TempDir()
	for name, test := range map[string]struct {
		role, label string
		number      int
		overrides   []string
		want        []string // behind the program
	}{
		"as configured":             {JobManager, "", 1, nil, []string{"jobmanager", "--conf", conf}},
		"a host":                    {JobManager, "a", 1, nil, []string{"jobmanager", "--conf", conf, "-D", "jobmanager.rpc.address=a"}},
		"a host and port":           {JobManager, "a:9000", 1, nil, []string{"jobmanager", "--conf", conf, "-D", "jobmanager.rpc.address=a", "-D", "rest.port=9000"}},
		"IPv6":                      {JobManager, Label("[::1]", "9000"), 1, nil, []string{"jobmanager", "--conf", conf, "-D", "jobmanager.rpc.address=::1", "-D", "rest.port=9000"}},
		"what is given comes first": {JobManager, "a", 1, []string{"rest.port=1"}, []string{"jobmanager", "--conf", conf, "-D", "rest.port=1", "-D", "jobmanager.rpc.address=a"}},
		"a second, alone":           {JobManager, "", 2, nil, []string{"jobmanager", "--conf", conf}},
		"a second standby": {JobManager, "", 2, []string{"zookeeper.quorum=z:1"},
			[]string{"jobmanager", "--conf", conf, "-D", "zookeeper.quorum=z:1", "-D", "rest.port=8082"}},
		"a second of any port": {JobManager, "", 2, []string{"zookeeper.quorum=z:1", "rest.port=0"},
			[]string{"jobmanager", "--conf", conf, "-D", "zookeeper.quorum=z:1", "-D", "rest.port=0"}},
		"a TaskManager":           {TaskManager, "", 1, nil, []string{"taskmanager", "--conf", conf}},
		"a TaskManager of a host": {TaskManager, "b", 1, nil, []string{"taskmanager", "--conf", conf, "-D", "taskmanager.host=b"}},
		"a TaskManager here":      {TaskManager, "localhost", 1, nil, []string{"taskmanager", "--conf", conf}},
		"a second TaskManager":    {TaskManager, "", 2, nil, []string{"taskmanager", "--conf", conf, "-D", "taskmanager.dir=./taskmanager-2"}},
		"a second, beside the first": {TaskManager, "", 2, []string{"taskmanager.dir=/srv/tm/"},
			[]string{"taskmanager", "--conf", conf, "-D", "taskmanager.dir=/srv/tm/", "-D", "taskmanager.dir=/srv/tm-2"}},
	} {
		c, err := config.Load("", nil, test.overrides)
		if err != nil {
			t.Fatal(err)
		}
		l := &Launcher{Binary: "/home/bin/perennial", ConfDir: conf, Config: c, Overrides: test.overrides}
		got, err := l.Command(test.role, test.label, test.number)
		if want := append([]string{"/home/bin/perennial"}, test.want...); err != nil || !slices.Equal(got.Args, want) {
			t.Errorf("%s: %q %v, want %q", name, got.Args, err, want)
		}
	}
}

// TestWriteServer: what a server is started with is for its user alone, as conf/zoo.cfg may be.
func TestWriteServer(t *testing.T) {
	conf, data := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(conf, "zoo.cfg"), []byte("server.3=a:1:2\nssl.keyStore.password=secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := config.ReadEnsemble(conf)
	if err != nil {
		t.Fatal(err)
	}
	for _, before := range []string{"nothing", "a file of before"} {
		file, err := writeServer(e, e.Servers[0], data)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("over %s: %v %v", before, info.Mode(), err)
		}
		if err := os.Chmod(file, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestJars: of the distribution, whatever its directory is called, or of ZOOKEEPER_HOME.
func TestJars(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "perennial [1]")
	for _, jar := range []string{"lib/zookeeper/a.jar", "other/lib/b.jar", "other/c.jar"} {
		path := filepath.Join(dir, jar)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	for environ, want := range map[string][]string{
		"":                                 {"lib/zookeeper/a.jar"},
		"ZOOKEEPER_HOME=" + dir + "/other": {"other/lib/b.jar", "other/c.jar"},
		"ZOOKEEPER_HOME=other":             {"other/lib/b.jar", "other/c.jar"}, // where it is typed, and not where the server is started
	} {
		l := &Launcher{Binary: filepath.Join(dir, "bin", "perennial"), Environ: []string{environ}}
		got, err := l.jars()
		for i := range want {
			want[i] = filepath.Join(dir, want[i])
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q %v, want %q", environ, got, err, want)
		}
	}
}

// TestJava: JAVA_HOME is where it is typed, and not where the server is started.
func TestJava(t *testing.T) {
	dir := t.TempDir()
	java := filepath.Join(dir, "jre", "bin", "java")
	if err := errors.Join(os.MkdirAll(filepath.Dir(java), 0o755), os.WriteFile(java, nil, 0o755)); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if got, err := (&Launcher{Environ: []string{"JAVA_HOME=jre"}}).java(); got != java || err != nil {
		t.Errorf("%q %v, want %q", got, err, java)
	}
}

// TestEntries: which processes a configuration asks for, and on which hosts.
func TestEntries(t *testing.T) {
	for name, test := range map[string]struct {
		overrides []string
		want      []string // host/entry
	}{
		"without high availability": {nil, []string{"localhost/jobmanager@localhost:8081"}},
		"whatever others call it":   {[]string{"jobmanager.rpc.address=[fd00::1]"}, []string{"localhost/jobmanager@[fd00::1]:8081"}},
		"a quorum": {[]string{"zookeeper.quorum=z:1", "jobmanagers=a:8081,[fd00::1]:8082"},
			[]string{"a/jobmanager@a:8081", "fd00::1/jobmanager@[fd00::1]:8082"}},
	} {
		c, err := config.Load("", nil, test.overrides)
		if err != nil {
			t.Fatal(err)
		}
		masters, _, err := (&Launcher{Config: c}).cluster()
		var got []string
		for _, m := range masters {
			got = append(got, m.Host+"/"+m.Name)
		}
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: %q %v, want %q", name, got, err, test.want)
		}
	}
}

// TestLabel: what instances are told apart by.
func TestLabel(t *testing.T) {
	for name, test := range map[string]struct {
		role, label string
		number      int
		overrides   []string
		want        string
	}{
		"as configured":    {JobManager, "", 1, []string{"jobmanager.rpc.address=a", "rest.port=9000"}, "a:9000"},
		"a second standby": {JobManager, "", 2, []string{"zookeeper.quorum=z:1"}, "localhost:8082"},
		"a host":           {JobManager, "a", 1, nil, "a:8081"},
		"a host and port":  {JobManager, "[::1]:1", 1, nil, "[::1]:1"},
		"a TaskManager":    {TaskManager, "b", 2, nil, "b"},
	} {
		c, err := config.Load("", nil, test.overrides)
		if err != nil {
			t.Fatal(err)
		}
		got, err := (&Launcher{Config: c, Overrides: test.overrides}).Command(test.role, test.label, test.number)
		if err != nil || got.Label != test.want {
			t.Errorf("%s: %q %v, want %q", name, got.Label, err, test.want)
		}
	}
	c, err := config.Load("", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&Launcher{Config: c}).Command(JobManager, "a:99999", 1); !errors.As(err, &Mistake{}) || !strings.Contains(err.Error(), "rest.port") {
		t.Errorf("a port that is none: %v", err)
	}
}

// TestEvenEnsemble: only who votes counts.
func TestEvenEnsemble(t *testing.T) {
	for servers, warns := range map[string]bool{
		"server.1=a:1:2":                                                    false,
		"server.1=a:1:2\nserver.2=b:1:2":                                    true,
		"server.1=a:1:2\nserver.2=b:1:2:observer":                           false,
		"server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2:participant":        false,
		"server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2:observer":           true,
		"server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\nserver.4=d:1:2\n#": true,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "zoo.cfg"), []byte(servers+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // nothing is started
		err := (&Launcher{ConfDir: dir, Warn: &said}).StartQuorum(ctx)
		if !errors.Is(err, context.Canceled) || strings.Contains(said.String(), "list an odd number") != warns {
			t.Errorf("%s\nsays %q, %v", servers, said.String(), err)
		}
	}
}
