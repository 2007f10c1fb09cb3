package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/localcluster"
)

// TestGarbageOnEveryPort: what is malformed or huge closes the connection and makes a line in
// the log; memory stays bounded, and the cluster goes on.
func TestGarbageOnEveryPort(t *testing.T) {
	jobManager, taskManager := shared.JobManagers[0], shared.TaskManagers[0]
	huge := func(begin string) io.Reader {
		return io.MultiReader(strings.NewReader(begin), bytes.NewReader(bytes.Repeat([]byte{0xff}, 64<<20)))
	}
	for name, test := range map[string]struct {
		port    string
		send    io.Reader
		process *localcluster.Process
		line    string
	}{
		"RPC, strangers":       {rpcPort(t), strings.NewReader("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), jobManager, `it began with \"GET / HT\"`},
		"RPC, a huge length":   {rpcPort(t), strings.NewReader("PRNLctl\x02\xff\xff\xff\xffxxxx"), jobManager, "message of 4294967295 bytes; at most"},
		"RPC, a malformed one": {rpcPort(t), strings.NewReader("PRNLctl\x02\x00\x00\x00\x05hello"), jobManager, "malformed message"},
		"RPC, without an end":  {rpcPort(t), huge("PRNLctl\x02\x00\x3f\xff\xff"), jobManager, "malformed message"},
		"API, strangers":       {restPort(t), strings.NewReader("PRNLctl\x02\r\n\r\n"), jobManager, "closed a connection to the API port"},
		"API, without an end":  {restPort(t), huge("GET / HTTP/1.1\r\nX: "), jobManager, "closed a connection to the API port"},
		"data, strangers":      {dataPort(t), strings.NewReader(strings.Repeat("x", 100)), taskManager, `it began with \"xxxxxxxx\"`},
		"data, another's id":   {dataPort(t), strings.NewReader("PRNLdat2" + strings.Repeat("z", 40)), taskManager, "is no job id"},
		"data, without an end": {dataPort(t), huge("PRNLdat9"), taskManager, `it began with \"PRNLdat9\"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			closed(t, test.port, test.send)
			eventually(t, func() error { return holds(test.process.Log, test.line) })
		})
	}
	t.Cleanup(func() { // once all of them are through
		for _, p := range []*localcluster.Process{jobManager, taskManager} {
			if mb := resident(t, p.PID()); mb > 150 {
				t.Errorf("%s holds %d MB", p.Name, mb)
			}
		}
	})
}

// closed sends and requires that the other side closes the connection.
func closed(t *testing.T, port string, send io.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(c, send) // it may be closed in the midst of this
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("port %s keeps the connection open", port)
	}
}

// dataPort is where the shared cluster's TaskManager takes records.
func dataPort(t *testing.T) string {
	t.Helper()
	log, err := os.ReadFile(shared.TaskManagers[0].Log)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(log), " data=")
	address, _, _ := strings.Cut(rest, "\n")
	_, port, err := net.SplitHostPort(strings.TrimSpace(address))
	if err != nil {
		t.Fatalf("data address %q: %v", address, err)
	}
	return port
}

// resident is a process's memory in MB, where the system tells it in a file.
func resident(t *testing.T, pid int) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Error(err)
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		t.Error("no VmRSS")
		return 0
	}
	kb, err := strconv.Atoi(fields[0])
	if err != nil {
		t.Error(err)
	}
	return kb >> 10
}
