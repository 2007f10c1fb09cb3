package testhosts

import (
	"strings"
	"testing"
)

// Hosts reach one another by name and by ssh, and not when they are cut off.
func TestHosts(t *testing.T) {
	h := Start(t, 2)
	a, b := h.List[0], h.List[1]
	reach := func(options ...string) (string, error) {
		args := append(strings.Fields(h.SSHOptions()), options...)
		out, err := a.Command("ssh", append(args, "-o", "BatchMode=yes", b.Name, "hostname")...).CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	if name, err := reach("-o", "ConnectTimeout=20"); err != nil || name != b.Name {
		t.Errorf("ssh from %s to %s: %q, %v", a.Name, b.Name, name, err)
	}
	b.CutOff()
	if name, err := reach("-o", "ConnectTimeout=1"); err == nil {
		t.Errorf("%s answers %q although it is cut off", b.Name, name)
	}
	b.Join()
	if name, err := reach("-o", "ConnectTimeout=20"); err != nil || name != b.Name {
		t.Errorf("ssh when it is back: %q, %v", name, err)
	}
	sleeper := b.Command("sleep", "600")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	b.Kill()
	if err := sleeper.Wait(); err == nil || len(b.Processes()) > 0 {
		t.Errorf("a process outlives its host: %v, %v", err, b.Processes())
	}
}
