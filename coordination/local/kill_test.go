package local_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/local"
)

// writerDir, in the environment, makes the test binary a process that leads and writes.
const writerDir = "PERENNIAL_TEST_WRITER_DIR"

// writeForever commits one entry after another and prints each key once it is committed.
func writeForever(dir string) error {
	f, err := local.OpenFile(context.Background(), dir)
	if err != nil {
		return err
	}
	s, ctx := f.Session(), context.Background()
	over, err := s.Leader(ctx)
	if err != nil {
		return err
	}
	term, err := s.Claim(ctx, over, coordination.Candidate{ID: "writer"}, coordination.NewNonce())
	if err != nil {
		return err
	}
	for i := range 100_000 { // it is killed long before
		key := fmt.Sprintf("writes/%d/%06d", term.Epoch(), i)
		if _, err := term.Commit(ctx, coordination.Create(key, []byte(key))); err != nil {
			return err
		}
		fmt.Println(key)
	}
	return nil
}

// TestKilled kills a process in the middle of its writes, several times over: the next
// one gets the file at once, a higher epoch, and every write that was acknowledged.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	var acknowledged []string
	for range 3 {
		acknowledged = append(acknowledged, killedWriter(t, dir)...)
	}
	f := openFile(t, dir)
	defer closeFile(t, f)
	s := f.Session()
	defer s.Close()
	l, err := s.Leader(t.Context())
	if err != nil || l.Epoch != 3 || l.Alive {
		t.Fatalf("after three writers Leader is %+v, %v; want epoch 3, not alive", l, err)
	}
	term, err := s.Claim(t.Context(), l, coordination.Candidate{ID: "reader"}, coordination.NewNonce())
	if err != nil {
		t.Fatalf("Claim: %v", err)
	}
	for _, key := range acknowledged {
		if e, err := term.Get(t.Context(), key); err != nil || string(e.Value) != key {
			t.Errorf("%q was acknowledged; Get returns %q, %v", key, e.Value, err)
		}
	}
}

// killedWriter runs a writer, kills it after some of its writes, and returns those.
func killedWriter(t *testing.T, dir string) (acknowledged []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), writerDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for len(acknowledged) < 20 && lines.Scan() {
		acknowledged = append(acknowledged, lines.Text())
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() { // what it had written to the pipe before it died
		acknowledged = append(acknowledged, lines.Text())
	}
	_ = cmd.Wait() // it says that the process was killed
	if len(acknowledged) < 20 {
		t.Fatalf("the writer ended after %d writes", len(acknowledged))
	}
	return acknowledged
}
