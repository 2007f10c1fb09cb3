// Package launch is what the scripts of bin/ do: it knows which command each role is started by,
// where its files are, and which processes a cluster is made of.
//
// It knows no pid file (internal/daemon) and no ssh (internal/hosts). Its goroutines wait for
// processes to be ready or to end, and are waited for.
package launch

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/perennial-io/perennial/internal/config"
	"github.com/perennial-io/perennial/internal/daemon"
)

// The roles of processes.
const (
	JobManager  = "jobmanager"
	TaskManager = "taskmanager"
	ZooKeeper   = "zookeeper"
)

// Mistake is an error of the configuration: nothing was tried.
type Mistake struct{ error }

func (m Mistake) Unwrap() error { return m.error }

// Launcher starts and stops the processes of one configuration.
type Launcher struct {
	Binary    string         // bin/perennial of the distribution, by its own name
	ConfDir   string         // absolute, or "" for none
	Config    *config.Config // nil where nothing is started
	Overrides []string       // -D, as they were given
	Environ   []string
	Out       io.Writer // what was done
	Warn      io.Writer // what is doubtful
}

// Home is the distribution's directory.
func (l *Launcher) Home() string { return filepath.Dir(filepath.Dir(l.Binary)) }

func (l *Launcher) env(name string) string {
	for _, e := range slices.Backward(l.Environ) {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value
		}
	}
	return ""
}

// directory is what an environment variable names, made absolute, or fallback.
func (l *Launcher) directory(variable, fallback string) (string, error) {
	if dir := l.env(variable); dir != "" {
		return filepath.Abs(dir)
	}
	return fallback, nil
}

// DataDir is where processes are started.
func (l *Launcher) DataDir() (string, error) {
	return l.directory("PERENNIAL_DATA_DIR", filepath.Join(l.Home(), "var"))
}

// Place is where the files of this user's processes on this host are.
func (l *Launcher) Place() (daemon.Place, error) {
	data, err := l.DataDir()
	logs, err2 := l.directory("PERENNIAL_LOG_DIR", filepath.Join(data, "log"))
	pids, err3 := l.directory("PERENNIAL_PID_DIR", filepath.Join(data, "run"))
	if err := errors.Join(err, err2, err3); err != nil {
		return daemon.Place{}, err
	}
	return daemon.Here(pids, logs, data)
}

// Command is what instance number of a role is started by, label being what it was asked for by: the
// host or host:rest-port of a JobManager, the host of a TaskManager, or "" for what the configuration
// says; the number of a ZooKeeper server. A second JobManager of a host has the next REST port, if
// there is high availability, and a second TaskManager a directory of its own. A JobManager's label
// becomes the host and port that it has. What its configuration would refuse is a Mistake.
func (l *Launcher) Command(role, label string, number int) (daemon.Command, error) {
	if role == ZooKeeper {
		return l.zooKeeper(label)
	}
	overrides := slices.Clone(l.Overrides)
	set := func(key config.Name, value string) { overrides = append(overrides, string(key)+"="+value) }
	switch role {
	case JobManager:
		host, port := hostAndPort(label)
		if host != "" {
			set(config.JobManagerAddress, host)
		}
		if first := l.Config.Int(config.RestPort); port == "" && number > 1 && first != 0 && l.Config.String(config.HighAvailability) != "none" {
			port = strconv.Itoa(first + number - 1)
		}
		if port != "" {
			set(config.RestPort, port)
		}
		label = Label(cmp.Or(host, l.Config.String(config.JobManagerAddress)), cmp.Or(port, l.Config.String(config.RestPort)))
	case TaskManager:
		if label != "" && !isLoopback(label) {
			set(config.TaskManagerHost, label)
		}
		if number > 1 {
			set(config.TaskManagerDir, strings.TrimRight(l.Config.String(config.TaskManagerDir), "/")+"-"+strconv.Itoa(number))
		}
	}
	if _, err := config.Load(l.ConfDir, l.Environ, overrides); err != nil {
		return daemon.Command{}, Mistake{fmt.Errorf("configuration: %w", err)}
	}
	args := []string{l.Binary, role}
	if l.ConfDir != "" {
		args = append(args, "--conf", l.ConfDir)
	}
	for _, o := range overrides {
		args = append(args, "-D", o)
	}
	return daemon.Command{Label: label, Args: args, Env: slices.Clone(l.Environ)}, nil
}

// Label is that of a JobManager at a host and port.
func Label(host, port string) string {
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}

// hostAndPort splits a JobManager's label.
func hostAndPort(label string) (host, port string) {
	if host, port, err := net.SplitHostPort(label); err == nil {
		return host, port
	}
	return label, ""
}

// isLoopback tells whether a host is a name that means each host itself.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Exec becomes the process of a role, in the data directory. It returns only when it fails.
func (l *Launcher) Exec(role, label string) error {
	c, err := l.Command(role, label, 1)
	if err != nil {
		return err
	}
	if err := l.Enter(); err != nil {
		return err
	}
	return become(c)
}

// Enter makes the data directory that of this process, so that relative paths of the configuration are in it.
func (l *Launcher) Enter() error {
	dir, err := l.DataDir()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("%w; set PERENNIAL_DATA_DIR to a directory that can be written", err)
	}
	if err := os.Chdir(dir); err != nil {
		return fmt.Errorf("%w; set PERENNIAL_DATA_DIR to a directory that can be entered", err)
	}
	return nil
}
