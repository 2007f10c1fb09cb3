package launch

import (
	"slices"
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
