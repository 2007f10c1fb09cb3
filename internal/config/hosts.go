package config

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// firstRestPort is that of a master without a port; the host's next such master has the next one.
const firstRestPort = 8081

// readMasters reads one host[:rest-port] per line, as host:rest-port.
func readMasters(path string) ([]string, []error) {
	var masters []string
	lineOf := map[string]int{}
	problems := eachHost(path, func(number int, line string) error {
		host, port, err := splitMaster(line)
		if err != nil {
			return err
		}
		master := net.JoinHostPort(host, port)
		if port == "" {
			for n := firstRestPort; ; n++ {
				master = net.JoinHostPort(host, strconv.Itoa(n))
				if lineOf[master] == 0 {
					break
				}
			}
		}
		if first := lineOf[master]; first != 0 {
			return fmt.Errorf("%s is listed in line %d already; give each JobManager of a host a port of its own", master, first)
		}
		lineOf[master] = number
		masters = append(masters, master)
		return nil
	})
	return masters, problems
}

// splitMaster splits host[:rest-port]; port is "" where there is none.
func splitMaster(line string) (host, port string, err error) {
	expected := fmt.Errorf("%q: expected host or host:rest-port, an IPv6 address in brackets, the port 1 to 65535", line)
	if isHost(strings.Trim(line, "[]")) {
		return strings.Trim(line, "[]"), "", nil
	}
	host, port, err = net.SplitHostPort(line)
	if err != nil || !isHost(host) {
		return "", "", expected
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return "", "", expected
	}
	return host, port, nil
}

// ReadWorkers reads conf/workers in dir: one host per line, a repeated one as often as it stands
// there. A file that is not there is an empty one.
func ReadWorkers(dir string) ([]string, error) {
	var workers []string
	problems := eachHost(filepath.Join(dir, "workers"), func(_ int, line string) error {
		host := strings.Trim(line, "[]")
		if !isHost(host) {
			return fmt.Errorf("%q: expected a host name or address, without a port", line)
		}
		workers = append(workers, host)
		return nil
	})
	return workers, errors.Join(problems...)
}

// isHost tells whether s is one host name or address, without brackets and port.
func isHost(s string) bool {
	if s == "" || strings.HasPrefix(s, "-") { // ssh would take it for an option
		return false
	}
	address, _, _ := strings.Cut(s, "%") // an IPv6 zone
	return net.ParseIP(address) != nil || !strings.ContainsAny(s, " \t:/,;@[]'\"\\$`%")
}

// eachHost is eachLine of a file where a comment may stand behind a host.
func eachHost(path string, do func(number int, line string) error) []error {
	return eachLine(path, func(number int, line string) error {
		host, _, _ := strings.Cut(line, "#")
		return do(number, strings.TrimSpace(host))
	})
}

// eachLine calls do with each line of a file that is neither blank nor a comment, and returns what
// do did not like, by file and line.
func eachLine(path string, do func(number int, line string) error) []error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return []error{err}
	}
	defer f.Close()
	var problems []error
	lines := bufio.NewScanner(f)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := do(number, line); err != nil {
			problems = append(problems, fmt.Errorf("%s:%d: %w", path, number, err))
		}
	}
	if err := lines.Err(); err != nil {
		problems = append(problems, fmt.Errorf("%s: %w", path, err))
	}
	return problems
}
