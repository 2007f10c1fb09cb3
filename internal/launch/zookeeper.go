package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perennial-io/perennial/internal/config"
	"github.com/perennial-io/perennial/internal/daemon"
)

// debianJars is where Debian's package has the server, what it logs by, and what TLS takes beyond what the server's manifest names.
var debianJars = []string{
	"/usr/share/java/zookeeper.jar", "/usr/share/java/slf4j-simple.jar",
	"/usr/share/java/netty-codec.jar", "/usr/share/java/netty-resolver.jar", "/usr/share/java/netty-transport-native-unix-common.jar",
}

var errNoZooKeeper = errors.New("there is no ZooKeeper: no jar in lib/zookeeper of the distribution, ZOOKEEPER_HOME is not set, and Debian's package zookeeper is not installed; install it, or do without: high-availability: embedded needs none")

// zooKeeper is the command of the server of conf/zoo.cfg with this number. Its directory, its file
// myid and its own zoo.cfg are written.
func (l *Launcher) zooKeeper(number string) (daemon.Command, error) {
	e, s, err := l.server(number)
	if err != nil {
		return daemon.Command{}, err
	}
	if err := free(s); err != nil {
		return daemon.Command{}, err
	}
	java, err := l.java()
	if err != nil {
		return daemon.Command{}, err
	}
	jars, err := l.jars()
	if err != nil {
		return daemon.Command{}, err
	}
	data, err := l.DataDir()
	if err != nil {
		return daemon.Command{}, err
	}
	file, err := writeServer(e, s, data)
	if err != nil {
		return daemon.Command{}, err
	}
	args := []string{java, "-Xmx1000m", "-Dzookeeper.jmx.log4j.disable=true", "-Dorg.slf4j.simpleLogger.showDateTime=true",
		"-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX"}
	args = append(args, strings.Fields(l.env("JVMFLAGS"))...)
	args = append(args, strings.Fields(l.env("SERVER_JVMFLAGS"))...)
	args = append(args, "-cp", strings.Join(jars, string(os.PathListSeparator)), "org.apache.zookeeper.server.quorum.QuorumPeerMain", file)
	return daemon.Command{Label: strconv.Itoa(s.ID), Args: args, Env: slices.Clone(l.Environ), Ready: func() bool { return serves(s) }}, nil
}

func (l *Launcher) server(number string) (*config.Ensemble, config.ZooKeeperServer, error) {
	e, err := l.ensemble()
	if err != nil {
		return nil, config.ZooKeeperServer{}, err
	}
	id, err := strconv.Atoi(number)
	if err != nil {
		return nil, config.ZooKeeperServer{}, Mistake{fmt.Errorf("server %q: expected the number of a line server.N in zoo.cfg", number)}
	}
	s, err := e.Server(id)
	if err != nil {
		return nil, s, Mistake{err}
	}
	return e, s, nil
}

func (l *Launcher) ensemble() (*config.Ensemble, error) {
	if l.ConfDir == "" {
		return nil, Mistake{errors.New("there is no configuration directory, in which zoo.cfg names the ZooKeeper servers; PERENNIAL_CONF_DIR names it")}
	}
	e, err := config.ReadEnsemble(l.ConfDir)
	if err != nil {
		return nil, Mistake{err}
	}
	return e, nil
}

// writeServer writes myid and the file that a server is started with, and returns the latter's path.
func writeServer(e *config.Ensemble, s config.ZooKeeperServer, data string) (string, error) {
	dir := e.DataDir(s, filepath.Join(data, "zookeeper"))
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(data, dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("the data of ZooKeeper server %d: %w; set dataDir in zoo.cfg, or PERENNIAL_DATA_DIR", s.ID, err)
	}
	myid := filepath.Join(dir, "myid")
	switch text, err := os.ReadFile(myid); {
	case err == nil && strings.TrimSpace(string(text)) != strconv.Itoa(s.ID):
		return "", fmt.Errorf("%s says %q: these are the data of another server than %d; give each a dataDir of its own, or remove the data", myid, strings.TrimSpace(string(text)), s.ID)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	if err := os.WriteFile(myid, []byte(strconv.Itoa(s.ID)+"\n"), 0o644); err != nil {
		return "", err
	}
	file := filepath.Join(dir, "zoo.cfg")
	if err := os.WriteFile(file, []byte(e.File(s, dir)), 0o600); err != nil { // it has the passwords of key stores
		return "", err
	}
	return file, os.Chmod(file, 0o600) // it may have been there
}

// java is $JAVA_HOME/bin/java, or the one in PATH.
func (l *Launcher) java() (string, error) {
	const remedy = "install a Java runtime, version 8 or newer (Debian's package default-jre-headless); or do without ZooKeeper: high-availability: embedded needs none"
	if home, err := l.directory("JAVA_HOME", ""); err != nil {
		return "", err
	} else if home != "" {
		java := filepath.Join(home, "bin", "java")
		if _, err := exec.LookPath(java); err != nil {
			return "", fmt.Errorf("ZooKeeper needs Java, and JAVA_HOME is %s, where there is no bin/java; set it to a Java runtime, or unset it to use the one in PATH; %s", home, remedy)
		}
		return java, nil
	}
	java, err := exec.LookPath("java")
	if err != nil {
		return "", fmt.Errorf("ZooKeeper needs Java, and there is none: JAVA_HOME is not set and no java is in PATH; %s", remedy)
	}
	return java, nil
}

// jars are those that came along, or ZOOKEEPER_HOME's, or Debian's.
func (l *Launcher) jars() ([]string, error) {
	places := []string{filepath.Join(l.Home(), "lib", "zookeeper")}
	if home, err := l.directory("ZOOKEEPER_HOME", ""); err != nil {
		return nil, err
	} else if home != "" {
		places = []string{filepath.Join(home, "lib"), home}
	}
	var jars []string
	for _, place := range places {
		found, err := fs.Glob(os.DirFS(place), "*.jar") // whatever characters the place itself has
		if err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
		}
		for _, jar := range found {
			jars = append(jars, filepath.Join(place, jar))
		}
	}
	if len(jars) > 0 {
		return jars, nil
	}
	for _, jar := range debianJars {
		if _, err := os.Stat(jar); err == nil {
			jars = append(jars, jar)
		}
	}
	if len(jars) == 0 || jars[0] != debianJars[0] {
		return nil, errNoZooKeeper
	}
	return jars, nil
}

// clientAddress is where this host reaches a server of its own.
func clientAddress(s config.ZooKeeperServer) string {
	host := s.ClientAddress
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, strconv.Itoa(s.Client))
}

// free refuses a server whose client port somebody listens at: it would be taken for the server.
func free(s config.ZooKeeperServer) error {
	conn, err := net.DialTimeout("tcp", clientAddress(s), time.Second)
	if err != nil {
		return nil //nolint:nilerr // nobody answers
	}
	conn.Close()
	return fmt.Errorf("ZooKeeper server %d: another process listens at its client port, %s: stop it, or give the server a port of its own in zoo.cfg, behind a semicolon", s.ID, clientAddress(s))
}

// serves tells whether a server serves: the last ones of an ensemble find a majority.
func serves(s config.ZooKeeperServer) bool {
	m, err := mode(context.Background(), s)
	return err == nil && m != noQuorum
}

const noQuorum = "no quorum"

// mode asks a server what it is: leader, follower, observer or standalone; noQuorum if it does not
// serve.
func mode(ctx context.Context, s config.ZooKeeperServer) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", clientAddress(s))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	if _, err := io.WriteString(conn, "srvr"); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(io.LimitReader(conn, 64<<10))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(answer)) {
		if mode, ok := strings.CutPrefix(line, "Mode: "); ok {
			return strings.TrimSpace(mode), nil
		}
	}
	return noQuorum, nil
}
