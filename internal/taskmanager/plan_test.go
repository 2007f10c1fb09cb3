package taskmanager

import (
	"debug/elf"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

func TestPlan(t *testing.T) {
	foreign, err := put(sharedFor(t).store, foreignBinary(t))
	if err != nil {
		t.Fatal(err)
	}
	m := startManager(t, func(c *Config) { c.Timeouts.Plan = 3 * time.Second })
	jm := newJobManager(t, "jm", 1)
	m.announce(jm)
	l, _ := jm.lead()
	for _, c := range []struct{ name, script, artifact, want string }{
		{name: "a plan", script: "plan"},
		{name: "no plan", script: "nothing", want: "is no Perennial job: it exited with status 0 and wrote no plan"},
		{name: "a failure", script: "fail", want: "exited with status 2; the last lines of its standard error:\nargument input is missing"},
		{name: "no JSON", script: "garbage", want: "no Perennial job of this version"},
		{name: "an empty graph", script: "empty graph", want: "has no operators"},
		{name: "a huge plan", script: "huge", want: "has more than"},
		{name: "a slow plan", script: "slow", want: "wrote no plan within 3s"},
		{name: "another processor", script: "plan", artifact: foreign, want: "built for " + foreignPlatform().String() + ", this TaskManager is " + here.String()},
		{name: "nothing stored", script: "plan", artifact: strings.Repeat("cd", 32), want: "no such object"},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec := job.Spec{ID: job.NewID(), Name: "n", Artifact: sharedFor(t).artifact, Args: []string{c.script}, Parallelism: 3}
			if c.artifact != "" {
				spec.Artifact = c.artifact
			}
			l.send(rpc.Plan{Spec: spec})
			p := await(l, func(p rpc.Planned) bool { return p.Job == spec.ID })
			switch {
			case c.want == "":
				if p.Error != "" || p.Graph == nil || p.Graph.Name != "n" || p.Graph.Vertices[0].Parallelism != 3 {
					t.Errorf("planned %+v", p)
				}
			case !strings.Contains(p.Error, c.want) || p.Retry || p.Graph != nil:
				t.Errorf("planned %+v, want an error that says %q", p, c.want)
			}
		})
	}
	if left := files(t, m.workDir+"/plans/*"); len(left) > 0 {
		t.Errorf("plans leave %v behind", left)
	}
}

// A plan that is asked for again while it is made, by the next leader, is made once and
// goes to that one.
func TestPlanGoesToWhoAskedLast(t *testing.T) {
	m := startManager(t, nil)
	first, second := newJobManager(t, "jm1", 1), newJobManager(t, "jm2", 2)
	m.announce(first)
	l, _ := first.lead()
	spec := job.Spec{ID: job.NewID(), Artifact: sharedFor(t).artifact, Args: []string{"slow"}}
	l.send(rpc.Plan{Spec: spec})
	l.send(rpc.Heartbeat{Seq: 1})
	await[rpc.Heartbeat](l, nil)
	m.announce(first, second)
	next, _ := second.lead()
	next.send(rpc.Plan{Spec: spec})
	next.send(rpc.Heartbeat{Seq: 1})
	await[rpc.Heartbeat](next, nil)
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	await(next, func(p rpc.Planned) bool { return p.Job == spec.ID })
	for letter := range l.in {
		if p, ok := letter.m.(rpc.Planned); ok {
			t.Errorf("the first to ask got %+v", p)
		}
	}
}

func foreignPlatform() platform {
	if runtime.GOARCH == "s390x" {
		return platform{here.os, "riscv64"}
	}
	return platform{here.os, "s390x"}
}

// foreignBinary is the beginning of an ELF file for another processor: this test needs no
// second toolchain.
func foreignBinary(t *testing.T) []byte {
	t.Helper()
	machine := elf.EM_S390
	if runtime.GOARCH == "s390x" {
		machine = elf.EM_RISCV
	}
	h := make([]byte, 64)
	copy(h, elf.ELFMAG)
	h[elf.EI_CLASS], h[elf.EI_DATA], h[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)
	h[16], h[18], h[20] = byte(elf.ET_EXEC), byte(machine), byte(elf.EV_CURRENT)
	h[52], h[54], h[58] = 64, 56, 64 // sizes of the header and of its tables' entries
	return h
}

func TestPlatformOf(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if p, known := platformOf(self); !known || p != here {
		t.Errorf("the test binary is %v (known: %v), want %v", p, known, here)
	}
	if _, known := platformOf("plan_test.go"); known {
		t.Error("a text has a platform")
	}
}
