package connector

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Transaction is a name for the transactions of a sink, from which whoever finds one left behind can tell
// whose it was. No two of a job are alike.
type Transaction struct {
	Job      string // its id
	Operator string
	Subtask  int
	Attempt  int
	Number   int // counts the transactions of the attempt's subtask, as the sink likes
}

// NewTransaction names a transaction of the subtask of ctx.
func NewTransaction(ctx *Context, number int) Transaction {
	return Transaction{Job: ctx.JobID(), Operator: ctx.Operator(), Subtask: ctx.Subtask(), Attempt: ctx.Attempt(), Number: number}
}

// String returns the name: <job>-<subtask>-<attempt>-<number>-<operator>, the operator's name escaped as in a URL's
// query. It is made of letters, digits and "-", "_", ".", "~", "%" and "+".
func (t Transaction) String() string {
	return fmt.Sprintf("%s-%d-%d-%d-%s", t.Job, t.Subtask, t.Attempt, t.Number, url.QueryEscape(t.Operator))
}

// ParseTransaction reads a name that String made; ok is false for every other name.
func ParseTransaction(name string) (t Transaction, ok bool) {
	fields := strings.SplitN(name, "-", 5)
	if len(fields) != 5 {
		return Transaction{}, false
	}
	t.Job = fields[0]
	for i, n := range []*int{&t.Subtask, &t.Attempt, &t.Number} {
		v, err := strconv.ParseInt(fields[i+1], 10, 32)
		if err != nil {
			return Transaction{}, false
		}
		*n = int(v)
	}
	operator, err := url.QueryUnescape(fields[4])
	if err != nil {
		return Transaction{}, false
	}
	t.Operator = operator
	return t, t.String() == name // other zeros or escapes than String writes are another's
}

// Orphan reports whether a lower attempt began t in the place that the subtask of ctx now has: it is this subtask that
// rolls t back, unless a checkpoint names it. When the parallelism has changed, each of what lower attempts
// left has exactly one place.
func (t Transaction) Orphan(ctx *Context) bool {
	return t.Job == ctx.JobID() && t.Operator == ctx.Operator() && t.Attempt < ctx.Attempt() &&
		t.Subtask%ctx.Parallelism() == ctx.Subtask()
}
