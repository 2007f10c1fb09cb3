package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/job"
)

// Clients ask at once, all along: they submit jobs that never get slots, under ids that others submit as well, cancel them,
// and look. What they were told must be what a register for each job could have told, one request after the other (I7): so
// an acknowledged request has its effect, once, for ever, and an answer is current (R15).

const (
	clients      = 3
	idsOfARound  = 12
	requestPause = 150 * time.Millisecond
	// askedFor is how long a client asks; after that it does not know what became of its request.
	askedFor = time.Minute
)

// The states of the register of a job.
const (
	absent   = iota
	live     // submitted
	canceled // its cancellation is acknowledged, or was seen
	failed   // seen only: by itself, at any time after its submission; it stays so (I9)
)

type question struct {
	verb string // submit, cancel, get
	id   client.ID
}

// answer is a state that was seen, or unknown. A submission's says only that it was accepted.
type answer struct {
	known bool
	state int
}

// register is the model of one job.
var register = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byID := map[client.ID][]porcupine.Operation{}
		for _, o := range history {
			id := o.Input.(question).id
			byID[id] = append(byID[id], o)
		}
		var all [][]porcupine.Operation
		for _, of := range byID {
			all = append(all, of)
		}
		return all
	},
	Init: func() any { return absent },
	Step: func(state, input, output any) (bool, any) {
		return registerStep(state.(int), input.(question).verb, output.(answer))
	},
	DescribeOperation: func(input, output any) string {
		q, a := input.(question), output.(answer)
		return fmt.Sprintf("%s %s: %s", q.verb, q.id, a)
	},
	DescribeState: func(state any) string { return words[state.(int)] },
}

var words = []string{absent: "absent", live: "live", canceled: "canceled", failed: "failed"}

func (a answer) String() string {
	if !a.known {
		return "?"
	}
	return words[a.state]
}

// registerStep is what the register does. A request of which nothing is known ends at the end of the history: if it had no effect,
// that is as if it had its effect last.
func registerStep(state int, verb string, a answer) (possible bool, next int) {
	switch verb {
	case "submit":
		return true, max(state, live) // a repeated one changes nothing
	case "cancel":
		switch {
		case a.known && a.state == absent:
			return state == absent, state
		case state == absent:
			return !a.known, state
		}
		return true, max(state, canceled) // cancelling what has failed changes nothing
	}
	switch {
	case !a.known:
		return true, state
	case a.state == failed:
		return state != absent, failed
	}
	return a.state == state, state
}

// requests are those of one round.
type requests struct {
	*round
	began time.Time
	stop  chan struct{}
	all   sync.WaitGroup

	mu      sync.Mutex
	ids     []client.ID
	history []porcupine.Operation

	unanswered int
	refused    []string
}

// ask has clients ask until end is called.
func (r *round) ask(ctx context.Context) *requests {
	q := &requests{round: r, began: time.Now(), stop: make(chan struct{})}
	for number := range clients {
		q.all.Go(func() { q.one(ctx, number) })
	}
	return q
}

// one is a client.
func (q *requests) one(ctx context.Context, number int) {
	c := q.Cluster.Client()
	defer c.Close()
	draw := rand.New(rand.NewPCG(uint64(q.Seed), uint64(3+number)))
	tick := time.NewTicker(requestPause)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			q.draws(ctx, c, number, draw)
		case <-q.stop:
			return
		case <-ctx.Done():
			return
		}
	}
}

// draws asks one thing.
func (q *requests) draws(ctx context.Context, c *client.Client, number int, draw *rand.Rand) {
	id := q.pick(draw)
	switch n := draw.IntN(100); {
	case n < 35 || id == "":
		if id == "" || draw.IntN(2) == 0 {
			id = q.fresh(id)
		}
		q.submit(ctx, c, number, id)
	case n < 50:
		q.cancel(ctx, c, number, id)
	case n < 95:
		q.get(ctx, c, number, id)
	default:
		q.list(ctx, c, number)
	}
}

// pick returns one of the ids that are in use, or "".
func (q *requests) pick(draw *rand.Rand) client.ID {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.ids) == 0 {
		return ""
	}
	return q.ids[draw.IntN(len(q.ids))]
}

// fresh returns a new id, or another one if there are enough.
func (q *requests) fresh(other client.ID) client.ID {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.ids) >= idsOfARound {
		return other
	}
	id := client.NewID()
	q.ids = append(q.ids, id)
	return id
}

// idle is a job that wants more slots than there are.
func (r *round) idle(id client.ID) client.Spec {
	return client.Spec{ID: id, Name: "idle", Artifact: r.artifact, Args: []string{"--idle", "--output", filepath.Join(r.Dir, "idle")}}
}

func (q *requests) submit(ctx context.Context, c *client.Client, number int, id client.ID) {
	q.asked(ctx, number, question{"submit", id}, func(ctx context.Context) (answer, error) {
		_, err := c.Submit(ctx, q.idle(id))
		return answer{known: true, state: live}, err
	})
}

func (q *requests) cancel(ctx context.Context, c *client.Client, number int, id client.ID) {
	q.asked(ctx, number, question{"cancel", id}, func(ctx context.Context) (answer, error) {
		_, err := c.Cancel(ctx, id)
		return seen(canceled, err)
	})
}

func (q *requests) get(ctx context.Context, c *client.Client, number int, id client.ID) {
	q.asked(ctx, number, question{"get", id}, func(ctx context.Context) (answer, error) {
		j, err := c.Job(ctx, id)
		return seen(stateOf(j.State), err)
	})
}

// seen takes "there is no such job" for the answer that it is.
func seen(state int, err error) (answer, error) {
	if refused := new(client.Error); errors.As(err, &refused) && refused.Status == 404 {
		return answer{known: true, state: absent}, nil
	}
	return answer{known: true, state: state}, err
}

func stateOf(s job.State) int {
	switch s {
	case job.Cancelling, job.Canceled:
		return canceled
	case job.Failed:
		return failed
	}
	return live
}

// list asks about all ids at once.
func (q *requests) list(ctx context.Context, c *client.Client, number int) {
	ctx, cancel := context.WithTimeout(ctx, askedFor)
	defer cancel()
	q.mu.Lock()
	ids := slices.Clone(q.ids)
	q.mu.Unlock()
	call := time.Since(q.began)
	jobs, err := c.Jobs(ctx)
	back := time.Since(q.began)
	if err != nil {
		return
	}
	for _, id := range ids {
		a := answer{known: true, state: absent}
		if i := slices.IndexFunc(jobs, func(s client.Summary) bool { return s.ID == id }); i >= 0 {
			a.state = stateOf(jobs[i].State)
		}
		q.note(number, question{"get", id}, a, call, back)
	}
}

// asked notes a question with its answer.
func (q *requests) asked(ctx context.Context, number int, about question, ask func(context.Context) (answer, error)) {
	ctx, cancel := context.WithTimeout(ctx, askedFor)
	defer cancel()
	call := time.Since(q.began)
	a, err := ask(ctx)
	back := time.Since(q.began)
	if err != nil {
		q.Say("seed %d: %s %s: %v", q.Seed, about.verb, about.id, err)
		a, back = answer{}, 1<<62
		q.failed(about, err)
	}
	q.note(number, about, a, call, back)
}

// failed notes a question that has no answer that the register could give. None is asked that a leader may refuse.
func (q *requests) failed(about question, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.unanswered++
	if no := new(client.Error); errors.As(err, &no) && no.Status >= 400 && no.Status < 500 {
		q.refused = append(q.refused, fmt.Sprintf("%s %s was refused: %v", about.verb, about.id, err))
	}
}

func (q *requests) note(number int, about question, a answer, call, back time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.history = append(q.history, porcupine.Operation{ClientId: number, Input: about, Output: a, Call: int64(call), Return: int64(back)})
}

// end waits for the clients, looks at every job once more, cancels it, and checks the history.
func (q *requests) end(ctx context.Context) {
	close(q.stop)
	q.all.Wait()
	for _, id := range q.ids {
		q.get(ctx, q.client, clients, id)
		q.cancel(ctx, q.client, clients, id)
	}
	q.result.Requests, q.result.Unanswered = len(q.history), q.unanswered
	for _, what := range q.refused {
		q.violated("I7", "seed %d: %s", q.Seed, what)
	}
	if q.unanswered == len(q.history) {
		q.violated("I7", "seed %d: none of %d requests was answered", q.Seed, len(q.history))
	}
	const patience = 30 * time.Second
	switch result, info := porcupine.CheckOperationsVerbose(register, q.history, patience); result {
	case porcupine.Illegal:
		page := filepath.Join(q.Dir, fmt.Sprintf("requests-%d.html", q.Seed))
		q.violated("I7", "no order of the requests gives these answers; %s shows them (%v)", page, porcupine.VisualizePath(register, info, page))
	case porcupine.Unknown:
		q.result.Unchecked++
		q.Say("seed %d: the history of %d requests was not checked to its end in %v", q.Seed, len(q.history), patience)
	}
}
