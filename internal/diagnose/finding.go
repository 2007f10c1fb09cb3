package diagnose

import (
	"fmt"
	"slices"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/inspect"
)

// Finding is a line of the doctor's.
type Finding struct {
	Check  string `json:"check"` // configuration, file, name, directory, storage, port, quorum, jobmanager, taskmanager, clock, version, reach
	About  string `json:"about"` // the file, host, address or process
	OK     bool   `json:"ok"`
	Text   string `json:"text"`             // what is, or what is wrong
	Advice string `json:"advice,omitempty"` // what to do, if it is wrong
}

func fine(check, about, format string, args ...any) Finding {
	return Finding{Check: check, About: about, OK: true, Text: fmt.Sprintf(format, args...)}
}

func wrong(check, about string, err error, advice string) Finding {
	return Finding{Check: check, About: about, Text: err.Error(), Advice: advice}
}

// maxClockOffset is how far clocks may be apart.
const maxClockOffset = 2 * time.Second

// clockFinding judges a clock that was read between two times of this host's.
func clockFinding(about string, clock, from, to time.Time) Finding {
	offset := clock.Sub(from.Add(to.Sub(from) / 2)).Round(time.Millisecond)
	if clock.Before(from.Add(-maxClockOffset)) || clock.After(to.Add(maxClockOffset)) {
		return wrong("clock", about, fmt.Errorf("its clock is %v off this host's", offset), "run NTP (chrony, systemd-timesyncd) on both; which of the two is wrong, the other hosts tell")
	}
	return fine("clock", about, "within %v of this host's", max(maxClockOffset, offset.Abs()))
}

// versionFinding judges a process's release.
func versionFinding(about, version, leader string) Finding {
	if version != leader {
		return wrong("version", about, fmt.Errorf("it is of release %s, and the leader of %s", version, leader), "upgrade one after the other, JobManagers first; mixed releases are for that time only")
	}
	return fine("version", about, "%s", version)
}

// reachFindings tell what a process could not do of what it was asked to, and in one line that the rest is well.
func reachFindings(about string, p inspect.Probe, seen *inspect.Probed) (list []Finding) {
	for _, problem := range seen.Problems {
		switch {
		case slices.Contains(p.Dial, problem.About):
			list = append(list, wrong("reach", about, fmt.Errorf("it cannot connect to %s: %s", problem.About, problem.Text),
				"let that process run, its *.bind-host be reachable, its name resolve there to its host, and the port be open in firewalls"))
		default:
			list = append(list, wrong("storage", about, fmt.Errorf("in its %s, token %s of another process: %s", seen.Storage, problem.About, problem.Text),
				"make storage.dir the same directory on all hosts, mounted and writable for the user of the process"))
		}
	}
	if len(list) == 0 {
		list = append(list, fine("reach", about, "it connects to %d other ports, and sees the shared storage", len(p.Dial)))
	}
	return list
}

// taskManagerFinding says whether a TaskManager could be asked.
func taskManagerFinding(p client.Probed) Finding {
	about := p.TaskManager + " on " + p.Host
	if p.Probed == nil {
		return Finding{Check: "taskmanager", About: about, Text: p.Error, Advice: "look into its log: perennial logs taskmanager " + p.TaskManager}
	}
	return fine("taskmanager", about, "registered; data port %s", p.Data)
}
