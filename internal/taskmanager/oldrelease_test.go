package taskmanager

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

// taskOfProtocol2 is a task process as the first release of this major version makes one: it knows nothing of internal/rpc as that
// is today, and says, letter by letter, what such a process says. It is never changed. It takes part in checkpoints until it is
// told to end.
func taskOfProtocol2(control net.Conn) int {
	say := func(kind, body string) {
		text := fmt.Sprintf(`{"kind":%q,"body":%s}`, kind, body)
		_, _ = control.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...))
	}
	var subtasks []struct{ Vertex, Index int }
	each := func(of string) string {
		var list []string
		for _, s := range subtasks {
			list = append(list, fmt.Sprintf(`{"subtask":{"vertex":%d,"index":%d},%s}`, s.Vertex, s.Index, of))
		}
		return "[" + strings.Join(list, ",") + "]"
	}
	status := func(state string) { say("status", `{"job":"","attempt":0,"subtasks":`+each(`"state":"`+state+`"`)+`}`) }
	for {
		var length [4]byte
		if _, err := io.ReadFull(control, length[:]); err != nil {
			return 11 // the TaskManager has gone
		}
		text := make([]byte, binary.BigEndian.Uint32(length[:]))
		if _, err := io.ReadFull(control, text); err != nil {
			return 11
		}
		var m struct {
			Kind string
			Body struct {
				Deploy struct {
					GraphHash string
					Spec      struct{ ID string }
					Attempt   int
					Subtasks  []struct{ Vertex, Index int }
				}
				Storage    string
				Checkpoint int
			}
		}
		if err := json.Unmarshal(text, &m); err != nil {
			return 12
		}
		switch m.Kind {
		case "start":
			if d := m.Body.Deploy; d.Spec.ID == "" || d.Attempt == 0 || len(d.Subtasks) == 0 || m.Body.Storage == "" {
				return 13 // it would not know what to do
			}
			subtasks = m.Body.Deploy.Subtasks
			say("ready", `{"graphHash":"`+m.Body.Deploy.GraphHash+`","protocol":2}`)
			status("RUNNING")
		case "trigger":
			say("acknowledge", `{"job":"","attempt":0,"acks":`+each(fmt.Sprintf(`"checkpoint":%d,"paused":1`, m.Body.Checkpoint))+`}`)
		case "cancel":
			status("CANCELED")
			return 0
		}
	}
}

// TestTaskProcessOfTheOldestRelease: a job's binary has the release of the day that it was built, and a TaskManager runs all of this
// major version. internal/rpc holds that no field of what they say is lost; here one lives through its life.
func TestTaskProcessOfTheOldestRelease(t *testing.T) {
	if rpc.OldestTask != 2 {
		t.Fatalf("the oldest release speaks protocol %d now: another task process is to be written here", rpc.OldestTask)
	}
	m, jm := startManager(t, nil), newJobManager(t, "jm", 1)
	m.announce(jm)
	l, _ := jm.lead()
	id := job.NewID()
	l.running(id, 1, "release of protocol 2")
	l.send(rpc.Trigger{Instance: l.register.Instance, Job: id, Attempt: 1, Checkpoint: 7})
	if ack := await[rpc.Acknowledge](l, nil); len(ack.Acks) == 0 || ack.Acks[0].Checkpoint != 7 || ack.Job != id || ack.Attempt != 1 {
		t.Errorf("%+v", ack)
	}
	l.send(rpc.Inspect{Instance: l.register.Instance, Query: 1, Job: id, PID: 1}) // which it does not know
	l.send(rpc.Stop{Instance: l.register.Instance, Job: id, Attempt: 1})
	l.awaitState(1, job.Canceled)
	if s := await[rpc.Stopped](l, nil); s.Attempt != 1 {
		t.Errorf("%+v", s)
	}
}
