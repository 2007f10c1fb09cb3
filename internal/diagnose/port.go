package diagnose

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// portOwner tells who listens on a port of this host, as far as the system lets this user know (on Linux).
func portOwner(port int) string {
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, _ := os.ReadFile(table) // where it is not there nothing is known
		for line := range strings.Lines(string(text)) {
			if inode, ok := listenerOf(line, port); ok {
				inodes["socket:["+inode+"]"] = true
			}
		}
	}
	descriptors, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is well formed
	for _, d := range descriptors {
		if target, err := os.Readlink(d); err == nil && inodes[target] {
			pid := strings.Split(d, "/")[2]
			name, _ := os.ReadFile("/proc/" + pid + "/comm")
			return fmt.Sprintf("process %s (%s)", pid, strings.TrimSpace(string(name)))
		}
	}
	return "a process that this user cannot see"
}

// listenerOf reads a line of /proc/net/tcp.
func listenerOf(line string, port int) (inode string, ok bool) {
	const listens = "0A"
	f := strings.Fields(line)
	if len(f) < 10 || f[3] != listens || !strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
		return "", false
	}
	return f[9], true
}
