package coordination_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/memory"
)

// Two processes, one cluster. The second takes over while the first believes that it
// leads; what the first writes then is refused, whatever it believes.
func Example() {
	ctx := context.Background()
	cluster := memory.New() // or zookeeper.Open, etcd.Open, local.Open in each process
	first, second := cluster.Open(), cluster.Open()
	defer first.Close()
	defer second.Close()

	nobody, _ := first.Leader(ctx)
	old, err := first.Claim(ctx, nobody, coordination.Candidate{ID: "first"}, coordination.NewNonce())
	if err != nil {
		fmt.Println(err)
		return
	}
	versions, _ := old.Commit(ctx, coordination.Create("jobs/1/state", []byte("RUNNING")))
	fmt.Println("epoch", old.Epoch(), "created jobs/1/state")

	// "second" suspects "first". If it is wrong, that costs a moment and harms nothing.
	suspect, _ := second.Leader(ctx)
	term, err := second.Claim(ctx, suspect, coordination.Candidate{ID: "second"}, coordination.NewNonce())
	if err != nil {
		fmt.Println(err)
		return
	}
	state, _ := term.Get(ctx, "jobs/1/state")
	fmt.Printf("epoch %d reads %s\n", term.Epoch(), state.Value)

	_, err = old.Commit(ctx, coordination.Set("jobs/1/state", []byte("FAILED"), versions[0]))
	fmt.Println("epoch", old.Epoch(), "is stale:", errors.Is(err, coordination.ErrStaleEpoch))

	// Output:
	// epoch 1 created jobs/1/state
	// epoch 2 reads RUNNING
	// epoch 1 is stale: true
}

// Leadership is a function call: the process leads while Lead runs.
func ExampleElect() {
	cluster := memory.New()
	ctx, stop := context.WithCancel(context.Background())
	err := coordination.Elect(ctx, coordination.ElectConfig{
		Open:      func(context.Context) (coordination.Store, error) { return cluster.Open(), nil },
		Candidate: coordination.Candidate{ID: "a", Data: []byte("10.0.0.1:6123")},
		Lead: func(ctx context.Context, term coordination.Term) error {
			_, err := term.Commit(ctx, coordination.Create("greeting", []byte("hello")))
			fmt.Println("leading epoch", term.Epoch(), err)
			stop()       // the process is told to end …
			<-ctx.Done() // … so the term ends, and then Elect
			return nil
		},
	})
	fmt.Println(err)

	// Output:
	// leading epoch 1 <nil>
	// context canceled
}

// A commit names the version of everything that its decision was read from.
func ExampleCheck() {
	ctx := context.Background()
	store := memory.New().Open()
	defer store.Close()
	term, err := store.Claim(ctx, coordination.Leadership{}, coordination.Candidate{ID: "a"}, coordination.NewNonce())
	if err != nil {
		fmt.Println(err)
		return
	}
	v, _ := term.Commit(ctx, coordination.Create("jobs/1", []byte("wants 4 slots")), coordination.Create("slots", []byte("4")))
	job, slots := v[0], v[1]

	_, _ = term.Commit(ctx, coordination.Set("slots", []byte("2"), slots)) // two slots are lost meanwhile
	_, err = term.Commit(ctx, coordination.Set("jobs/1", []byte("RUNNING"), job), coordination.Check("slots", slots))
	fmt.Println(errors.Is(err, coordination.ErrConflict))

	// Output:
	// true
}
