package config

import (
	"strings"
	"testing"
)

func ensemble(t *testing.T, text string) *Ensemble {
	t.Helper()
	e, err := ReadEnsemble(write(t, "zoo.cfg", text))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEnsemble(t *testing.T) {
	e := ensemble(t, "# servers\n! another comment\ntickTime=500\n\nserver.10=beta:2888:3888:observer;10.0.0.2:2190\nserver.2=[::1]:2888:3888\nserver.1 = alpha:2888:3888:participant;2191\n")
	if client := e.Servers[1].Client; client != 2181 {
		t.Errorf("the client port of server 2 is %d", client)
	}
	s, err := e.Server(10)
	if err != nil {
		t.Fatal(err)
	}
	want := `# Written at each start of server 10. What to change is conf/zoo.cfg.
initLimit=10
syncLimit=5
admin.enableServer=false
dataDir=/var/zk/10
clientPort=2190
clientPortAddress=10.0.0.2
peerType=observer
tickTime=500
server.1=alpha:2888:3888:participant
server.2=[::1]:2888:3888
server.10=beta:2888:3888:observer
`
	if got := e.File(s, e.DataDir(s, "/var/zk")); got != want {
		t.Errorf("the file of server 10:\n%s", got)
	}
	if _, err := e.Server(3); err == nil || !strings.Contains(err.Error(), "no server.3; it has 1, 2, 10") {
		t.Errorf("server 3: %v", err)
	}
}

// TestServersOfOneHost: each has directories of its own, and one that is alone has those of the file.
func TestServersOfOneHost(t *testing.T) {
	e := ensemble(t, "dataDir=/zk\ndataLogDir=/log\nserver.1=a:1:2;3\nserver.2=a:4:5;6\nserver.3=b:1:2;3\n")
	for id, want := range map[int][]string{1: {"/zk/1", "dataLogDir=/log/1\n"}, 2: {"/zk/2", "dataLogDir=/log/2\n"}, 3: {"/zk", "dataLogDir=/log\n"}} {
		s, err := e.Server(id)
		if err != nil {
			t.Fatal(err)
		}
		dir := e.DataDir(s, "/fallback")
		if file := e.File(s, dir); dir != want[0] || !strings.Contains(file, want[1]) || !strings.Contains(file, "dataDir="+dir+"\n") {
			t.Errorf("server %d: %s\n%s", id, dir, file)
		}
	}
}

// TestValuesAsJavaReads: what is written is what Java reads, and nothing of a value is a comment.
func TestValuesAsJavaReads(t *testing.T) {
	e := ensemble(t, "dataLogDir=/log/ä\\b\nssl.keyStore.password=pa#ss\nssl.trustStore.password=\\u00e4 ä\nserver.1=a:1:2;3\nserver.2=localhost:1:2;3\nserver.3=127.0.0.1:4:5;6\n")
	file := e.File(e.Servers[0], "/données/𝄞/1")
	for _, want := range []string{"dataDir=/donn\\u00E9es/\\uD834\\uDD1E/1\n", "dataLogDir=/log/\\u00E4\\\\b\n", "ssl.keyStore.password=pa#ss\n", "ssl.trustStore.password=\\u00e4 \\u00E4\n"} {
		if !strings.Contains(file, want) {
			t.Errorf("no %q in:\n%s", want, file)
		}
	}
	if dir := e.DataDir(e.Servers[1], "/fallback"); dir != "/fallback/2" {
		t.Error(dir)
	}
	if file := e.File(e.Servers[2], "/data"); !strings.Contains(file, "dataLogDir=/log/\\u00E4\\\\b/3\n") {
		t.Errorf("two names of this host are two hosts:\n%s", file)
	}
}

func TestMistakesInEnsembles(t *testing.T) {
	for text, want := range map[string][]string{
		"":                                   {"zoo.cfg: no server is listed", "server.N=host:peer-port:election-port"},
		"tickTime=2000\n":                    {"no server is listed"},
		"server.1=a:1:2\nserver.1=b:1:2\n":   {"zoo.cfg:2: server.1 is given in line 1 already"},
		"server.0=a:1:2\n":                   {"zoo.cfg:1: server.0", "1 to 255"},
		"server.256=a:1:2\n":                 {"zoo.cfg:1: server.256", "1 to 255"},
		"server.x=a:1:2\n":                   {"zoo.cfg:1: server.x", "1 to 255"},
		"server.1=a\n":                       {"zoo.cfg:1: server.1=a", "expected server.N="},
		"server.1=a:1\n":                     {"zoo.cfg:1", "expected server.N="},
		"server.1=:1:2\n":                    {"zoo.cfg:1", "expected server.N="},
		"server.1=a:1:2:3:4\n":               {"zoo.cfg:1", "expected server.N="},
		"server.1=a:1:2:leader\n":            {"zoo.cfg:1", `role "leader"`, "observer"},
		"server.1=a:1:70000\n":               {"zoo.cfg:1", `port "70000"`, "1 to 65535"},
		"server.1=a:1:2;x\n":                 {"zoo.cfg:1", `port "x"`},
		"server.1=a:1:2|b:1:2\n":             {"zoo.cfg:1", "several addresses"},
		"server.1=[::1:1:2\n":                {"zoo.cfg:1", "brackets"},
		"server.1=a:1:2;2\n":                 {"zoo.cfg:1: 2 is the client port of server.1, and on a the election port of server.1"},
		"server.1=a:1:2\nserver.2=a:1:4;5\n": {"zoo.cfg:2: 1 is the peer port of server.2, and on a the peer port of server.1"},
		"server.1=a:1:2 # first\n":           {"zoo.cfg:1", `port "2 # first"`},
		"server.1=localhost:1:2;3\nserver.2=127.0.0.1:1:4;5\n": {"zoo.cfg:2: 1 is the peer port of server.2, and on 127.0.0.1 the peer port of server.1"},
		"server.1=A:1:2;3\nserver.2=a:1:4;5\n":                 {"zoo.cfg:2: 1 is the peer port of server.2"},
		"server.1=a:1:2\nserver.2=a:3:4\n":                     {"zoo.cfg:2: 2181 is the client port of server.2", "semicolon"},
		"clientPort=x\nserver.1=a:1:2\n":                       {"zoo.cfg:1: clientPort", `"x"`},
		"clientPort=70000\nserver.1=a:1:2\n":                   {"clientPort", `"70000"`, "1 to 65535"},
		"tickTime=0\nserver.1=a:1:2\n":                         {"zoo.cfg:1: tickTime", "at least 1"},
		"tickTime=1\ntickTime=2\n":                             {"zoo.cfg:2: tickTime is set already, to 1"},
		"tickTime\nserver.1=a:1:2\n":                           {`zoo.cfg:1: "tickTime": expected key=value`},
		"dynamicConfigFile=x\n":                                {"zoo.cfg:1: dynamicConfigFile", "in this file"},
		"server.0=a:1:2\nserver.1=a:x:2\n":                     {"zoo.cfg:1", "zoo.cfg:2"},
	} {
		_, err := ReadEnsemble(write(t, "zoo.cfg", text))
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%q: %v, want %s", text, err, w)
			}
		}
	}
	if _, err := ReadEnsemble(t.TempDir()); err == nil || !strings.Contains(err.Error(), "there is no such file") {
		t.Errorf("without a file: %v", err)
	}
}

func FuzzEnsemble(f *testing.F) {
	f.Add("server.1=a:1:2;3")
	f.Add("server.1=[::1]:1:2:observer;[::]:3\ntickTime=1")
	f.Fuzz(func(t *testing.T, text string) {
		e, err := ReadEnsemble(write(t, "zoo.cfg", text))
		if err != nil {
			return
		}
		for _, s := range e.Servers { // what is written for a server reads as it was
			again := ensemble(t, e.File(s, "/data"))
			if len(again.Servers) != len(e.Servers) {
				t.Fatalf("%q: %d servers became %d", text, len(e.Servers), len(again.Servers))
			}
		}
	})
}
