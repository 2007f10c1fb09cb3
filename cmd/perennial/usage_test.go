package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWrongUsage: what was wrong, with what value, what to do; and status 2.
func TestWrongUsage(t *testing.T) {
	t.Parallel()
	for line, want := range map[string][]string{
		"frob":                                 {`no command "frob"`, "--help"},
		"jobmanagr":                            {"did you mean jobmanager"},
		"help frob":                            {`no command "frob"`},
		"completion ksh":                       {"ksh", "bash, zsh, fish"},
		"list extra":                           {"list takes no argument", `"extra"`},
		"info":                                 {"info takes JOB and got nothing"},
		"cancel a b":                           {"cancel takes JOB", `"a" "b"`},
		"list --frob":                          {"--frob", "list --help"},
		"run":                                  {"which job?"},
		"run -p 0 x":                           {"-p 0", "1 or more"},
		"run --upgrade a --from-savepoint b x": {"--upgrade", "leave out --from-savepoint"},
		"run --from-savepoint= x":              {`--from-savepoint ""`, "leave it out to begin without state"},
		"run --upgrade= x":                     {`--upgrade ""`, "id of a running job"},
		"run --allow-dropped-state x":          {"--allow-dropped-state", "--from-savepoint or --upgrade"},
		"rescale x":                            {"-p 0", "1 or more"},
		"savepoint":                            {"savepoint takes JOB"},
		"savepoint a b c":                      {"savepoint", "JOB", "DIR"},
		"savepoint inspect":                    {"inspect takes PATH"},
		"stop a b":                             {"stop takes JOB"},
		"list -D checkpoint.tolerable-failures=-1": {"checkpoint.tolerable-failures", `"-1"`, "0 or more"},
		"run -p many x":                                                       {`"many"`, "run --help"},
		"demo --length 1ms --job x":                                           {"1ms", "at least 1s"},
		"list --conf nowhere":                                                 {"nowhere", "--conf"},
		"list -D rest.prt=1":                                                  {`"rest.prt"`, `nearest is "rest.port"`},
		"list -D rest.port":                                                   {"expected key=value"},
		"list -D rest.port=high":                                              {"rest.port", `"high"`, "0 to 65535"},
		"list -D heartbeat.interval=5":                                        {"heartbeat.interval", `"5"`, "500ms"},
		"list -D zookeeper.quorum=localhost:":                                 {`"localhost:"`, "expected host:port"},
		"list -D zookeeper.quorum=a:1,,b:1":                                   {"entry 2 is empty"},
		"jobmanager -D storage.dir=~/x":                                       {`"~/x"`, "write the home directory out"},
		"jobmanager -D high-availability=embedded":                            {"no JobManagers are listed", "conf/masters"},
		"jobmanager -D high-availability=embedded -D jobmanagers=a:1,b:1":     {"2 JobManagers", "even", "3 or 5"},
		"jobmanager -D high-availability=embedded -D jobmanagers=a:1,b:1,c:1": {"rest.port 8081", "none of the JobManagers"},
		"jobmanager -D high-availability=embedded -D jobmanagers=a:1,b:1,c:65001 -D rest.port=65001": {"c:65001", "64535 at most"},
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			r := typed(t, strings.Fields(line)...)
			r.expect(t, exitUsage, append(want, "perennial: ")...)
			if r.stdout != "" {
				t.Errorf("standard output: %q", r.stdout)
			}
		})
	}
}

// TestConfiguration: the file, over it the environment, over that -D, and the mistakes of each by
// their place.
func TestConfiguration(t *testing.T) {
	conf := t.TempDir()
	for name, text := range map[string]string{"perennial.yaml": "rest.port: 70000\nrest.prt: 1\n", "masters": "alpha\na b\n"} {
		if err := os.WriteFile(filepath.Join(conf, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := command(limited(t), t.TempDir(), "list", "--conf", conf, "-D", "log.level=loud")
	cmd.Env = append(cmd.Env, "PERENNIAL_ZOOKEEPER_QORUM=a:1", "PERENNIAL_CLUSTER_ID=a/b")
	finish(t, cmd).expect(t, exitUsage, "perennial.yaml:1", "70000", "perennial.yaml:2", `"rest.prt"`, "masters:2", `"a b"`,
		"PERENNIAL_ZOOKEEPER_QORUM", "nearest is PERENNIAL_ZOOKEEPER_QUORUM", "PERENNIAL_CLUSTER_ID", `"a/b"`, "log.level", `"loud"`)

	good, port := t.TempDir(), shared.Rest[0][strings.LastIndex(shared.Rest[0], ":")+1:]
	if err := os.WriteFile(filepath.Join(good, "perennial.yaml"), []byte("rest:\n  port: "+port+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	typed(t, "list", "--conf", good).expect(t, 0)
	for variable, value := range map[string]string{"PERENNIAL_REST_PORT": port, "PERENNIAL_CONF_DIR": good} {
		cmd := command(limited(t), t.TempDir(), "list")
		cmd.Env = append(cmd.Env, variable+"="+value)
		finish(t, cmd).expect(t, 0)
	}
}

func TestHelp(t *testing.T) {
	for _, c := range []string{"jobmanager", "taskmanager", "run", "list", "info", "cancel", "checkpoint", "checkpoints", "savepoint", "stop", "rescale",
		"jobmanagers", "demo", "version", "completion"} {
		r := typed(t, c, "--help")
		r.expect(t, 0)
		if !strings.Contains(r.stdout, "Usage:") || !strings.Contains(r.stdout, "perennial "+c) {
			t.Errorf("%s --help: %q", c, r.stdout)
		}
	}
	r := typed(t)
	r.expect(t, 0)
	for _, c := range []string{"jobmanagers", "taskmanager", "completion", "--conf", "--define"} {
		if !strings.Contains(r.stdout, c) {
			t.Errorf("the help does not mention %s: %q", c, r.stdout)
		}
	}
}

func TestCompletion(t *testing.T) {
	for shell, want := range map[string]string{"bash": "complete -o", "zsh": "#compdef perennial", "fish": "complete -c perennial"} {
		r := typed(t, "completion", shell)
		r.expect(t, 0)
		if !strings.Contains(r.stdout, want) {
			t.Errorf("completion %s does not hold %q", shell, want)
		}
	}
}

func TestVersion(t *testing.T) {
	r := typed(t, "version")
	r.expect(t, 0)
	if !strings.HasPrefix(r.stdout, "perennial 0.") {
		t.Errorf("version: %q", r.stdout)
	}
	var v struct{ Version, Revision, Go, Platform string }
	if err := json.Unmarshal([]byte(typed(t, "version", "--json").stdout), &v); err != nil || v.Version == "" || v.Platform == "" {
		t.Errorf("version --json: %+v, %v", v, err)
	}
}
