package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/hostcluster"
	"github.com/perennial-io/perennial/internal/localcluster"
)

// hostClient makes this binary a client of a cluster on hosts, which can be asked from one of them only. Its value is what
// the client does; arguments are the job, or "", and the addresses of all JobManagers.
const hostClient = "PERENNIAL_BENCHMARK_HOST_CLIENT"

// What a client on a host does.
const (
	waitAnswer  = "answer"  // waits until a leader answers, and tells when that was
	waitRunning = "running" // waits until each subtask of the job runs, and tells when that was
	keepCalling = "calls"   // calls until its standard input ends, and tells how that went
)

// hostPatience is how long a client waits.
const hostPatience = 30 * time.Second

// called is what came of the calls of keepCalling.
type called struct {
	Calls, Refused int
	Longest        time.Duration
	First          string // refusal
}

// beHostClient is the main function of such a process.
func beHostClient(ctx context.Context, what string, id client.ID, addresses []string) error {
	c := client.New(client.Fixed(addresses...))
	defer c.Close()
	var told any
	var err error
	switch what {
	case waitAnswer:
		told, err = when(ctx, func(ctx context.Context) error {
			_, err := c.Jobs(ctx)
			return err
		})
	case waitRunning:
		told, err = when(ctx, func(ctx context.Context) error {
			j, err := c.Job(ctx, id)
			if err == nil && !runs(j) {
				err = fmt.Errorf("the job is %s, %d slots are missing: %+v", j.State, j.SlotsMissing, localcluster.Subtasks(j))
			}
			return err
		})
	case keepCalling:
		told = call(ctx, c, id, addresses)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(told)
}

// when says since when a look is content. None is longer than it takes, lest the pauses of a client that tries again count.
func when(ctx context.Context, look func(context.Context) error) (at time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, hostPatience)
	defer cancel()
	var last error
	err = poll(ctx, func() (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		if err := look(ctx); err != nil {
			if ctx.Err() == nil || last == nil {
				last = err
			}
			return false, nil
		}
		at = time.Now()
		return true, nil
	})
	if err != nil {
		err = fmt.Errorf("after %v: %w", hostPatience, last)
	}
	return at, err
}

// call lists the jobs and asks after one each 10 ms: the one by a client that knows who led last, the other by one that
// knows nothing, and begins with another JobManager each time.
func call(ctx context.Context, c *client.Client, id client.ID, addresses []string) (all called) {
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	defer func() { <-ended }()
	one := func(do func(context.Context) error) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		begun := time.Now()
		err := do(ctx)
		if ctx.Err() == context.Canceled {
			return // it is to end, and what did not is no answer
		}
		all.Calls, all.Longest = all.Calls+1, max(all.Longest, time.Since(begun))
		if err != nil {
			if all.Refused++; all.First == "" {
				all.First = err.Error()
			}
		}
	}
	_ = pollEach(ctx, 10*time.Millisecond, func() (bool, error) {
		one(func(ctx context.Context) error {
			_, err := c.Jobs(ctx)
			return err
		})
		addresses = append(slices.Clone(addresses[1:]), addresses[0])
		fresh := client.New(client.Fixed(addresses...))
		defer fresh.Close()
		one(func(ctx context.Context) error {
			_, err := fresh.Job(ctx, id)
			return err
		})
		return false, nil
	})
	return all
}

// asking is a client on a host, at work.
type asking[T any] struct {
	enough func() // has keepCalling end
	kill   func()
	done   chan struct{}
	told   T
	err    error
}

// ask starts one. Whoever does ends it.
func ask[T any](ctx context.Context, c *hostcluster.Cluster, what string, id client.ID) (*asking[T], error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{string(id)}
	for _, h := range c.List[:hostcluster.Masters] {
		args = append(args, h.Name+":8081")
	}
	ctx, kill := context.WithCancel(ctx)
	cmd := c.Person.Command(ctx, self, args...)
	cmd.Env = append(cmd.Env, hostClient+"="+what)
	var out, complaint strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &complaint
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		kill()
		return nil, err
	}
	a := &asking[T]{enough: func() { in.Close() }, kill: kill, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		if err := cmd.Wait(); err != nil {
			a.err = fmt.Errorf("a client on %s (%s): %w: %s", c.Person.On.Name, what, err, complaint.String())
			return
		}
		a.err = json.Unmarshal([]byte(out.String()), &a.told)
	}()
	return a, nil
}

// wait is what the client told at its end.
func (a *asking[T]) wait() (T, error) {
	<-a.done
	return a.told, a.err
}

// end ends the client if it is still at work, and waits for that.
func (a *asking[T]) end() {
	a.kill()
	<-a.done
}
