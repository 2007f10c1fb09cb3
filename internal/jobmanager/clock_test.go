package jobmanager

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/rpc"
)

func TestCompareClock(t *testing.T) {
	for name, test := range map[string]struct {
		theirs time.Time
		told   bool
	}{
		"an older peer, which does not say": {},
		"near":                              {theirs: time.Now().Add(-time.Second)},
		"behind":                            {theirs: time.Now().Add(-time.Hour), told: true},
		"ahead":                             {theirs: time.Now().Add(time.Hour), told: true},
	} {
		var out bytes.Buffer
		jm := &JobManager{log: slog.New(slog.NewTextHandler(&out, nil))}
		ours, theirs := net.Pipe()
		s := newSession(rpc.New(ours))
		s.register = rpc.Register{Instance: "tm-1", Host: "host-b"}
		jm.compareClock(s, test.theirs)
		if told := strings.Contains(out.String(), "TaskManager tm-1 on host-b") && strings.Contains(out.String(), "offset="); told != test.told {
			t.Errorf("%s: told %v\n%s", name, told, &out)
		}
		ours.Close()
		theirs.Close()
	}
}

func TestBeatsKeepPace(t *testing.T) {
	b := newBeats(time.Hour)
	defer b.Stop()
	b.keep(time.Millisecond)
	<-b.C
	if b.every != time.Millisecond {
		t.Error(b.every)
	}
}
