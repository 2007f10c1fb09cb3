package minicluster

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/rpc"
)

// names are those of a transcript. Who wins a race differs each time, and so what is told goes by
// role: JobManagers are numbered as they first lead, TaskManagers as the first job is spread
// over them, and others as the test calls them. A second life, or registration, gets a b.
type names struct {
	parts     map[string]string // jm-3 -> jm-2
	instances map[string]string // tm-k2j4… -> tm-1b
}

var (
	partName     = regexp.MustCompile(`\b(jm|tm)-\d+(\.\d+)?\b`)
	instanceName = regexp.MustCompile(`\btm-[a-z0-9]{16}\b`)
)

func namesOf(events []Event) *names {
	n := &names{parts: map[string]string{}, instances: map[string]string{}}
	rank := map[string]int{} // of parts that have one
	owner := map[string]string{}
	var instances []string
	rankNext := func(part string) {
		if rank[part] == 0 {
			rank[part] = len(rank) + 1
		}
	}
	var all []string
	for _, e := range events {
		all = append(all, partOf(e.Process), partOf(e.To))
		switch r, registers := e.Message.(rpc.Register); {
		case registers && owner[r.Instance] == "":
			owner[r.Instance] = partOf(e.Process)
			instances = append(instances, r.Instance)
		case e.Kind == Claimed:
			rankNext(partOf(e.Process))
		case e.Kind == Decided && e.Intent.Phase == execution.Running:
			for _, instance := range e.Intent.Assignment {
				rankNext(owner[instance])
			}
		}
	}
	n.number(all, rank)
	count := map[string]int{}
	for _, instance := range instances {
		part := owner[instance]
		n.instances[instance] = n.parts[part] + suffix(count[part])
		count[part]++
	}
	return n
}

// number names the parts of each kind: those with a rank first, in its order.
func (n *names) number(parts []string, rank map[string]int) {
	slices.Sort(parts)
	parts = slices.DeleteFunc(slices.Compact(parts), func(p string) bool { return p == "" })
	slices.SortStableFunc(parts, func(a, b string) int {
		return cmp.Or(cmp.Compare(cmp.Or(rank[a], len(parts)+1), cmp.Or(rank[b], len(parts)+1)), strings.Compare(a, b))
	})
	count := map[string]int{}
	for _, p := range parts {
		kind, _, _ := strings.Cut(p, "-")
		count[kind]++
		n.parts[p] = fmt.Sprintf("%s-%d", kind, count[kind])
	}
}

// partOf is the part of a process: jm-1 of jm-1.2.
func partOf(process string) string {
	part, _, _ := strings.Cut(process, ".")
	return part
}

// suffix is "" for the first life, then b, c …
func suffix(earlier int) string {
	if earlier == 0 {
		return ""
	}
	return string(rune('a' + earlier))
}

// process is the name of a process, or of a part.
func (n *names) process(name string) string {
	part, life, _ := strings.Cut(name, ".")
	number, err := strconv.Atoi(life)
	if err != nil {
		number = 1
	}
	return cmp.Or(n.parts[part], part) + suffix(number-1)
}

func (n *names) instance(name string) string { return cmp.Or(n.instances[name], name) }

// in replaces the names in a text, and what differs each time.
func (n *names) in(text string) string {
	text = partName.ReplaceAllStringFunc(text, n.process)
	text = instanceName.ReplaceAllStringFunc(text, n.instance)
	text = addresses.ReplaceAllString(text, "its address")
	return durations.ReplaceAllString(text, "a while")
}
