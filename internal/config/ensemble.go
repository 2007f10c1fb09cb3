package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Ensemble is what conf/zoo.cfg says about the ZooKeeper servers that Perennial starts itself.
type Ensemble struct {
	Servers []ZooKeeperServer // by id

	settings []setting // what is not a server, in the file's order
}

// ZooKeeperServer is one line server.N=host:peer:election[:role][;[address:]client].
type ZooKeeperServer struct {
	ID            int
	Host          string // without brackets
	Peer          int    // port, where the leader listens to followers
	Election      int    // port
	Role          string // "", participant or observer
	ClientAddress string // that the client port is bound to; "": all
	Client        int    // port

	line int
}

type setting struct{ key, value string }

// zooKeeperDefaults are the settings without which ZooKeeper does not start, as its administrator's guide gives
// them, and its admin server off, whose fixed port 8080 is one that others want.
var zooKeeperDefaults = []setting{{"tickTime", "2000"}, {"initLimit", "10"}, {"syncLimit", "5"}, {"admin.enableServer", "false"}}

const (
	zooKeeperClientPort = 2181
	serverForm          = "expected server.N=host:peer-port:election-port, after which may come ;client-port"
)

// ReadEnsemble reads zoo.cfg in dir.
func ReadEnsemble(dir string) (*Ensemble, error) {
	path := filepath.Join(dir, "zoo.cfg")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: there is no such file; it names the ZooKeeper servers to start, in lines server.N=host:peer-port:election-port", path)
	}
	e := &Ensemble{}
	problems := eachLine(path, func(number int, line string) error {
		key, value, ok := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch {
		case strings.HasPrefix(line, "!"): // a comment too, in Java's format
			return nil
		case !ok || key == "" || value == "":
			return fmt.Errorf("%q: expected key=value", line)
		case strings.HasPrefix(key, "server."):
			return e.addServer(number, strings.TrimPrefix(key, "server."), value)
		}
		return e.addSetting(key, value)
	})
	if len(problems) == 0 {
		problems = e.complete(path)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *Ensemble) addServer(line int, id, value string) error {
	n, err := strconv.Atoi(id)
	if err != nil || n < 1 || n > 255 {
		return fmt.Errorf("server.%s: expected a number of 1 to 255 after server.", id)
	}
	for _, s := range e.Servers {
		if s.ID == n {
			return fmt.Errorf("server.%d is given in line %d already; expected each number once", n, s.line)
		}
	}
	s, err := parseServer(value)
	if err != nil {
		return fmt.Errorf("server.%d=%s: %w", n, value, err)
	}
	s.ID, s.line = n, line
	e.Servers = append(e.Servers, s)
	return nil
}

func parseServer(value string) (s ZooKeeperServer, err error) {
	quorum, client, hasClient := strings.Cut(value, ";")
	if strings.Contains(quorum, "|") {
		return s, fmt.Errorf("several addresses of one server are not supported; %s", serverForm)
	}
	host, rest, err := splitHost(strings.TrimSpace(quorum))
	if err != nil {
		return s, err
	}
	parts := strings.Split(rest, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return s, errors.New(serverForm)
	}
	s.Host = host
	if s.Peer, err = portOf(parts[0]); err != nil {
		return s, err
	}
	if s.Election, err = portOf(parts[1]); err != nil {
		return s, err
	}
	if len(parts) == 3 {
		if s.Role = parts[2]; s.Role != "participant" && s.Role != "observer" {
			return s, fmt.Errorf("role %q: expected participant or observer", s.Role)
		}
	}
	if !hasClient {
		return s, nil
	}
	client = strings.TrimSpace(client)
	if strings.Contains(client, ":") {
		if s.ClientAddress, client, err = splitHost(client); err != nil {
			return s, err
		}
	}
	s.Client, err = portOf(client)
	return s, err
}

// splitHost splits host:rest, where host may be an address in brackets.
func splitHost(s string) (host, rest string, err error) {
	if inside, ok := strings.CutPrefix(s, "["); ok {
		host, rest, ok = strings.Cut(inside, "]:")
		if ok && net.ParseIP(host) != nil {
			return host, rest, nil
		}
		return "", "", fmt.Errorf("%s, an IPv6 address in brackets", serverForm)
	}
	host, rest, _ = strings.Cut(s, ":")
	if !isHost(host) {
		return "", "", errors.New(serverForm)
	}
	return host, rest, nil
}

func portOf(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 65535 {
		return 0, fmt.Errorf("port %q: expected a number of 1 to 65535; %s", s, serverForm)
	}
	return n, nil
}

func (e *Ensemble) addSetting(key, value string) error {
	if v, twice := e.setting(key); twice {
		return fmt.Errorf("%s is set already, to %s", key, v)
	}
	switch key {
	case "tickTime", "initLimit", "syncLimit", "clientPort":
		if n, err := strconv.Atoi(value); err != nil || n < 1 {
			return fmt.Errorf("%s is %q: expected a whole number of at least 1", key, value)
		}
	case "dynamicConfigFile":
		return fmt.Errorf("dynamicConfigFile: expected the servers in this file, in lines server.N=host:peer-port:election-port")
	}
	e.settings = append(e.settings, setting{key, value})
	return nil
}

func (e *Ensemble) setting(key string) (value string, ok bool) {
	for _, s := range e.settings {
		if s.key == key {
			return s.value, true
		}
	}
	return "", false
}

// complete fills the client ports that lines leave to the file, and finds what is wrong between lines.
func (e *Ensemble) complete(path string) []error {
	if len(e.Servers) == 0 {
		return []error{fmt.Errorf("%s: no server is listed; %s", path, serverForm)}
	}
	client := zooKeeperClientPort
	if v, ok := e.setting("clientPort"); ok {
		var err error
		if client, err = portOf(v); err != nil {
			return []error{fmt.Errorf("%s: clientPort is %q: expected 1 to 65535", path, v)}
		}
	}
	slices.SortFunc(e.Servers, func(a, b ZooKeeperServer) int { return a.line - b.line })
	var problems []error
	type place struct {
		host string
		port int
	}
	taken := map[place]string{}
	for i := range e.Servers {
		s := &e.Servers[i]
		s.Client = cmp.Or(s.Client, client)
		for _, p := range []struct {
			what string
			port int
		}{{"peer", s.Peer}, {"election", s.Election}, {"client", s.Client}} {
			at, what := place{sameHost(s.Host), p.port}, fmt.Sprintf("%s port of server.%d", p.what, s.ID)
			if other, used := taken[at]; used {
				problems = append(problems, fmt.Errorf("%s:%d: %d is the %s, and on %s the %s already; give each its own (a client port after a semicolon: server.%d=host:peer:election;client)",
					path, s.line, p.port, what, s.Host, other, s.ID))
				continue
			}
			taken[at] = what
		}
	}
	slices.SortFunc(e.Servers, func(a, b ZooKeeperServer) int { return a.ID - b.ID })
	return problems
}

// Server is the server with this id.
func (e *Ensemble) Server(id int) (ZooKeeperServer, error) {
	ids := make([]string, len(e.Servers))
	for i, s := range e.Servers {
		if s.ID == id {
			return s, nil
		}
		ids[i] = strconv.Itoa(s.ID)
	}
	return ZooKeeperServer{}, fmt.Errorf("zoo.cfg has no server.%d; it has %s", id, strings.Join(ids, ", "))
}

// DataDir is where server s keeps its data: dataDir, or fallback, and below it a directory of its
// own where its host has several servers, or it is the fallback.
func (e *Ensemble) DataDir(s ZooKeeperServer, fallback string) string {
	dir, ok := e.setting("dataDir")
	if !ok {
		return filepath.Join(fallback, strconv.Itoa(s.ID))
	}
	return e.own(s, dir)
}

// own is dir, or below it a directory of server s, if its host has several.
func (e *Ensemble) own(s ZooKeeperServer, dir string) string {
	if slices.ContainsFunc(e.Servers, func(o ZooKeeperServer) bool { return o.ID != s.ID && sameHost(o.Host) == sameHost(s.Host) }) {
		return filepath.Join(dir, strconv.Itoa(s.ID))
	}
	return dir
}

// sameHost is one name for a host that two lines may call differently.
func sameHost(host string) string {
	switch ip := net.ParseIP(host); {
	case ip == nil:
		return strings.ToLower(host)
	case ip.IsLoopback():
		return "localhost"
	default:
		return ip.String()
	}
}

// escaped is text as Java reads it from a file of properties: as Latin-1, with backslashes that escape.
func escaped(text string) string {
	return ascii(strings.ReplaceAll(text, `\`, `\\`))
}

// ascii escapes what is not Latin-1, or differs there from UTF-8, and leaves escapes as they are.
func ascii(text string) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(text)) {
		if unit < utf8.RuneSelf {
			b.WriteByte(byte(unit))
		} else {
			fmt.Fprintf(&b, `\u%04X`, unit)
		}
	}
	return b.String()
}

// File is the zoo.cfg that server s is started with, its data in dir.
func (e *Ensemble) File(s ZooKeeperServer, dir string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Written at each start of server %d. What to change is conf/zoo.cfg.\n", s.ID)
	for _, d := range zooKeeperDefaults {
		if _, set := e.setting(d.key); !set {
			fmt.Fprintf(&b, "%s=%s\n", d.key, d.value)
		}
	}
	fmt.Fprintf(&b, "dataDir=%s\nclientPort=%d\n", escaped(dir), s.Client)
	if s.ClientAddress != "" {
		fmt.Fprintf(&b, "clientPortAddress=%s\n", s.ClientAddress)
	}
	if s.Role == "observer" {
		fmt.Fprintf(&b, "peerType=observer\n")
	}
	for _, o := range e.settings {
		switch {
		case o.key == "dataDir", o.key == "clientPort", o.key == "clientPortAddress" && s.ClientAddress != "", o.key == "peerType" && s.Role == "observer":
			continue
		case o.key == "dataLogDir":
			o.value = escaped(e.own(s, o.value))
		}
		fmt.Fprintf(&b, "%s=%s\n", o.key, ascii(o.value))
	}
	for _, o := range e.Servers {
		host := o.Host
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		role := ""
		if o.Role != "" {
			role = ":" + o.Role
		}
		fmt.Fprintf(&b, "server.%d=%s:%d:%d%s\n", o.ID, host, o.Peer, o.Election, role)
	}
	return b.String()
}
