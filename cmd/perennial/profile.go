package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/diagnose"
	"github.com/perennial-io/perennial/internal/inspect"
)

func profileCommand(g *global) *cobra.Command {
	p, out := inspect.Profile{}, ""
	cmd := &cobra.Command{
		Use: "profile JOB|ID cpu|heap|goroutine", Short: "Fetch a profile of a JobManager, a TaskManager or a job's task processes, for go tool pprof",
		Long: `Fetches profiles, one file for each process; go tool pprof adds several up.

  JOB        all task processes of a job
  leader     the JobManager that leads
  jm-… tm-…  a JobManager or TaskManager, by its id, or the beginning of it`,
		Args: exactly("JOB|ID", "cpu|heap|goroutine"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p.ID, p.Kind = string(client.NewID()), args[1]
			if err := p.Check(); err != nil {
				return usageError{fmt.Errorf("profile: %w", err)}
			}
			return g.withClient(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				processes, err := profiled(ctx, c, args[0])
				if err != nil {
					return err
				}
				return fetch(ctx, processes, p, out)
			})
		},
	}
	cmd.Flags().IntVar(&p.Seconds, "seconds", 10, "for how long a CPU profile is taken")
	cmd.Flags().StringVarP(&out, "output", "o", "", "file to write; with several processes, their numbers and pids go before its extension (default perennial-KIND-ID.pb.gz)")
	return cmd
}

// profiledProcess is a process to take a profile of.
type profiledProcess struct {
	name string // for a file
	pid  int    // of a task process
	on   string // the TaskManager that has it
	ask  func(context.Context, inspect.Question) (inspect.Piece, error)
}

func (p profiledProcess) String() string {
	if p.pid == 0 {
		return p.name
	}
	return fmt.Sprintf("task process %d on TaskManager %s", p.pid, p.on)
}

// profiled finds the processes that an argument names.
func profiled(ctx context.Context, c *client.Client, part string) ([]profiledProcess, error) {
	ctx, cancel := patiently(ctx)
	defer cancel()
	switch {
	case part == "leader" || strings.HasPrefix(part, "jm-"):
		jm, err := findJobManager(ctx, c, part)
		return []profiledProcess{{name: jm.ID, ask: askJobManager(c, jm)}}, err
	case strings.HasPrefix(part, "tm-"):
		return []profiledProcess{{name: part, ask: askTaskManager(c, part, client.Inspect{})}}, nil
	}
	id, err := c.Resolve(ctx, part)
	if err != nil {
		return nil, err
	}
	j, err := c.Job(ctx, id)
	if err != nil {
		return nil, err
	}
	list, without := taskProcesses(c, j)
	if without > 0 {
		fmt.Fprintf(os.Stderr, "perennial: %d subtasks of the job have no task process now, or their TaskManager is not connected: there is no profile of those\n", without)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("job %s is %s, and has no task process to take a profile of", id, j.State)
	}
	return list, nil
}

// taskProcesses are those that a job has now; some subtasks may be without.
func taskProcesses(c *client.Client, j client.Job) (list []profiledProcess, without int) {
	type process struct {
		taskManager string
		pid         int
	}
	seen := map[process]bool{}
	for _, v := range j.Vertices {
		for _, s := range v.Subtasks {
			p := process{s.TaskManager, s.PID}
			if s.PID == 0 {
				without++
			}
			if s.PID == 0 || seen[p] {
				continue
			}
			seen[p] = true
			list = append(list, profiledProcess{name: j.ID.Short(), pid: s.PID, on: s.TaskManager, ask: askTaskManager(c, s.TaskManager, client.Inspect{Job: j.ID, PID: s.PID})})
		}
	}
	return list, without
}

// fetch takes all profiles at once, and writes those that it got. It names each that it did not.
func fetch(ctx context.Context, processes []profiledProcess, p inspect.Profile, out string) error {
	var all sync.WaitGroup
	problems := make([]error, len(processes))
	for i, process := range processes {
		all.Go(func() {
			data, err := diagnose.Fetch(ctx, process.ask, p)
			path := profilePath(out, p.Kind, process, len(processes) > 1, i)
			if err == nil {
				err = os.WriteFile(path, data, 0o644)
			}
			if err != nil {
				problems[i] = fmt.Errorf("profile of %s: %w", process, err)
				return
			}
			fmt.Println(path)
		})
	}
	all.Wait()
	return errors.Join(problems...)
}

// profilePath names the file of a process's profile. Pids of several hosts may be the same.
func profilePath(out, kind string, process profiledProcess, several bool, number int) string {
	if out == "" {
		out = fmt.Sprintf("perennial-%s-%s.pb.gz", kind, process.name)
	}
	if !several {
		return out
	}
	dir, base := filepath.Split(out)
	stem, extension, dotted := strings.Cut(base, ".")
	if dotted {
		extension = "." + extension
	}
	return fmt.Sprintf("%s%s-%d-%d%s", dir, stem, number+1, process.pid, extension)
}
