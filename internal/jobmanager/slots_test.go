package jobmanager

import (
	"strings"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
)

// Jobs that wait for each other's slots do not wait for ever, and none gives up what it has for nothing.
func TestYielding(t *testing.T) {
	waits := func(id string, slots int, kept ...string) *want {
		return &want{id: job.ID(id), slots: slots, kept: kept}
	}
	for name, c := range map[string]struct {
		wants []*want
		free  map[string]int
		want  string
	}{
		"nobody waits":                  {nil, map[string]int{"a": 1}, ""},
		"one waits alone":               {[]*want{waits("1", 1, "a")}, map[string]int{"a": 0}, ""},
		"one of both":                   {[]*want{waits("1", 1, "a"), waits("2", 1, "a")}, map[string]int{"a": 0}, "2"},
		"what has nothing cannot yield": {[]*want{waits("1", 1, "a"), waits("2", 4)}, map[string]int{"a": 0}, ""},
		"one is enough":                 {[]*want{waits("1", 1, "a"), waits("2", 1, "a"), waits("3", 1, "a")}, map[string]int{"a": 0}, "3"},
		"two are needed":                {[]*want{waits("1", 2, "a"), waits("2", 1, "a"), waits("3", 1, "a")}, map[string]int{"a": 0}, "2 3"},
		"with what is free":             {[]*want{waits("1", 2, "a"), waits("2", 2, "a"), waits("3", 2, "a")}, map[string]int{"a": 1}, "3"},
		"it would not be enough":        {[]*want{waits("1", 3, "a"), waits("2", 1, "a"), waits("3", 1, "a")}, map[string]int{"a": 0}, ""},
		"slots of a lost TaskManager":   {[]*want{waits("1", 1, "a"), waits("2", 1, "b")}, map[string]int{"a": 0}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var ids []string
			for _, w := range yielding(c.wants, c.free) {
				ids = append(ids, string(w.id))
			}
			if got := strings.Join(ids, " "); got != c.want {
				t.Errorf("%q give way, want %q", got, c.want)
			}
		})
	}
}
