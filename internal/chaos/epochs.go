package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strconv"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/coordination"
)

// tookOver is the line that a JobManager logs when it begins to serve under an epoch. Its id is new at each start.
var tookOver = regexp.MustCompile(`msg="took over".* jobmanager=(\S+) .*\bepoch=(\d+) `)

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

// epochs reads from the logs of a site's JobManagers, and from what coordination keeps of its history, who has led under which
// epoch.
func (r *round) epochs(ctx context.Context) (terms, error) {
	all := terms{}
	for _, p := range r.Cluster.JobManagers {
		twice, err := all.readLog(p.Log)
		for _, what := range twice {
			r.violated("I1", "%s", what)
		}
		if err != nil {
			return nil, err
		}
	}
	kept, err := r.client.Failovers(ctx)
	for _, what := range all.readHistory(kept) {
		r.violated("I1", "%s", what)
	}
	return all, err
}

func (t terms) readLog(log string) (twice []string, err error) {
	f, err := os.Open(log)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		m := tookOver.FindStringSubmatch(s.Text())
		if m == nil {
			continue
		}
		epoch, err := strconv.ParseUint(m[2], 10, 64)
		if err != nil {
			return nil, err
		}
		if what := t.led(coordination.Epoch(epoch), m[1]); what != "" {
			twice = append(twice, what)
		}
	}
	return twice, s.Err()
}

// readHistory is of the newest changes of leader, the latest first, whose epochs must fall.
func (t terms) readHistory(kept []client.Takeover) (wrong []string) {
	for i, k := range kept {
		if i > 0 && k.Epoch >= kept[i-1].Epoch {
			wrong = append(wrong, fmt.Sprintf("epoch %d stands in the history before epoch %d", k.Epoch, kept[i-1].Epoch))
		}
		if what := t.led(k.Epoch, k.Leader); what != "" {
			wrong = append(wrong, what)
		}
	}
	return wrong
}
