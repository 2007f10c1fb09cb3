package chaos

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/coordination"
)

// underEpoch is in each line that a JobManager logs as the leader of an epoch, from its claim on, whether it came to serve or not.
// Its id is new at each start.
var underEpoch = regexp.MustCompile(` jobmanager=(\S+) epoch=(\d+)(?: |$)`)

// crashed is how Go's runtime begins to tell why it ends a process that nobody killed.
var crashed = regexp.MustCompile(`^(?:panic: |fatal error: )`)

// terms says who has led under which epoch.
type terms map[coordination.Epoch]string

// led notes one. An epoch under which two have led was claimed twice (I1): that is returned.
func (t terms) led(epoch coordination.Epoch, leader string) (twice string) {
	if other := t[epoch]; other != "" && other != leader {
		return fmt.Sprintf("epoch %d: both %s and %s have led under it", epoch, other, leader)
	}
	t[epoch] = leader
	return ""
}

// epochs reads who has led under which epoch from the list that leaders keep of changes, and from the logs of a site's
// JobManagers. Both must name one for each, also for those that r.began has; and the logs must tell of the newest in the list,
// else they tell nothing.
func (r *round) epochs(ctx context.Context) (terms, error) {
	kept, err := r.client.Failovers(ctx) // one is logged before it is in the list
	if err != nil {
		return nil, err
	}
	logged := terms{}
	twice := func(what string) { r.violated("I1", "%s", what) }
	for _, p := range r.Cluster.JobManagers {
		if err := logged.readLog(p.Log, twice); err != nil {
			return nil, err
		}
	}
	if len(kept) > 0 && logged[kept[0].Epoch] == "" {
		return nil, fmt.Errorf("no log tells of epoch %d, under which %s leads: do lines of a term no longer match %q?", kept[0].Epoch, kept[0].Leader, underEpoch)
	}
	all := terms{}
	maps.Copy(all, r.began)
	for epoch, leader := range logged {
		if what := all.led(epoch, leader); what != "" {
			twice(what)
		}
	}
	for _, what := range all.readList(kept) {
		twice(what)
	}
	return all, nil
}

// readLog is of one process, whose runs are one after the other.
func (t terms) readLog(log string, twice func(what string)) error {
	return eachLogged(log, func(line string) error {
		m := underEpoch.FindStringSubmatch(line)
		if m == nil {
			return nil
		}
		epoch, err := strconv.ParseUint(m[2], 10, 64)
		if err != nil {
			return fmt.Errorf("%s: %q: %w", log, line, err)
		}
		if what := t.led(coordination.Epoch(epoch), m[1]); what != "" {
			twice(what)
		}
		return nil
	})
}

// readList is of the newest changes of leader, the latest first, whose epochs must fall.
func (t terms) readList(kept []client.Takeover) (wrong []string) {
	for i, k := range kept {
		if i > 0 && k.Epoch >= kept[i-1].Epoch {
			wrong = append(wrong, fmt.Sprintf("epoch %d stands in the list of changes before epoch %d", k.Epoch, kept[i-1].Epoch))
		}
		if what := t.led(k.Epoch, k.Leader); what != "" {
			wrong = append(wrong, what)
		}
	}
	return wrong
}

// unbroken requires that no process of the cluster has panicked since it was last asked.
func (s *Site) unbroken(violated func(invariant, format string, args ...any)) error {
	for _, p := range slices.Concat(s.Cluster.JobManagers, s.Cluster.TaskManagers) {
		n := 0
		err := eachLogged(p.Log, func(line string) error {
			if n++; n > s.read[p.Log] && crashed.MatchString(line) {
				violated("crash", "%s, line %d of its log: %s", p.Name, n, line)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if s.read == nil {
			s.read = map[string]int{}
		}
		s.read[p.Log] = n
	}
	return nil
}
