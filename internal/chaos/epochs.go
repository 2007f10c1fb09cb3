package chaos

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/perennial-io/perennial/coordination"
)

// tookOver is the line that a JobManager logs when it begins to serve under an epoch.
var tookOver = regexp.MustCompile(`msg="took over".* epoch=(\d+) `)

// begun is a log's line about a JobManager that begins, and has a new id.
const begun = `msg="JobManager is up"`

// epochs reads from the logs of a site's JobManagers who has led under which epoch, and returns how many there were. An
// epoch under which two have led was claimed twice (I1): a violation.
func (r *round) epochs() (int, error) {
	logs := map[string]string{}
	for _, p := range r.Cluster.JobManagers {
		logs[p.Name] = p.Log
	}
	n, twice, err := epochsOf(logs)
	for _, what := range twice {
		r.violated("I1", "%s", what)
	}
	return n, err
}

// epochsOf counts the epochs in logs, by the names of their processes, and lists those under which two have led.
func epochsOf(logs map[string]string) (n int, twice []string, err error) {
	led := map[coordination.Epoch]string{}
	for name, log := range logs {
		err = errors.Join(err, eachTakeover(log, func(run int, epoch coordination.Epoch) {
			who := fmt.Sprintf("%s in its run %d", name, run)
			if other := led[epoch]; other != "" && other != who {
				twice = append(twice, fmt.Sprintf("epoch %d: both %s and %s have led under it", epoch, other, who))
			}
			led[epoch] = who
		}))
	}
	return len(led), twice, err
}

// eachTakeover tells of each takeover in a log, with the number of the run of the process.
func eachTakeover(log string, each func(run int, epoch coordination.Epoch)) error {
	f, err := os.Open(log)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	run := 0
	for s := bufio.NewScanner(f); s.Scan(); {
		if strings.Contains(s.Text(), begun) {
			run++
		}
		m := tookOver.FindStringSubmatch(s.Text())
		if m == nil {
			continue
		}
		epoch, err := strconv.ParseUint(m[1], 10, 64)
		if err != nil {
			return err
		}
		each(run, coordination.Epoch(epoch))
	}
	return nil
}
