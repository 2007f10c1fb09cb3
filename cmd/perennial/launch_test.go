package main

import (
	"strings"
	"testing"

	"github.com/perennial-io/perennial/internal/launch"
)

func TestDaemonArguments(t *testing.T) {
	for line, want := range map[string]string{
		"zookeeper start 01":         "1",
		"zookeeper start x":          "x", // zoo.cfg has no such server, which is said with its path
		"jobmanager start a 8090":    "a:8090",
		"jobmanager start ::1 8090":  "[::1]:8090",
		"jobmanager stop":            "",
		"taskmanager start 10.0.0.1": "10.0.0.1",
	} {
		words := strings.Fields(line)
		if _, label, err := daemonArguments(words[0], words[1:]); err != nil || label != want {
			t.Errorf("%s: %q %v, want %q", line, label, err, want)
		}
	}
	if _, _, err := daemonArguments(launch.JobManager, []string{"start", "8090"}); err == nil || !strings.Contains(err.Error(), `"8090" is no host`) {
		t.Error(err)
	}
}
