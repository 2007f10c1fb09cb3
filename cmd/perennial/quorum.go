package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/coordination/etcd/embedded"
	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/launch"
)

// quorumCommand is the embedded quorum's members, and, hidden, what the scripts of a managed ZooKeeper become.
func quorumCommand(g *global) *cobra.Command {
	parent := &cobra.Command{
		Use: "quorum", Short: "Tell about the embedded quorum, and replace its members",
		Long: `With high-availability: embedded the JobManagers are a quorum themselves. These commands tell how its members are, and replace one
whose disk or host is lost: remove it, then add it, or another one in its place. docs/operations.md tells it step by step.`,
	}
	parent.AddCommand(quorumStatusCommand(g), quorumAddCommand(g), quorumRemoveCommand(g),
		launching(g, "start", startQuorumHelp, (*launch.Launcher).StartQuorum),
		launching(g, "stop", stopQuorumHelp, (*launch.Launcher).StopQuorum))
	return parent
}

func quorumStatusCommand(g *global) *cobra.Command {
	return question(g, "status", "List the members, which of them leads Raft, and which are healthy", exactly(), func(ctx context.Context, c *client.Client, _ []string) (answer, error) {
		q, err := c.Quorum(ctx)
		return answer{q, func(w io.Writer) error {
			rows := [][]any{{"MEMBER", "RAFT", "ID", "ROLE", "HEALTH"}}
			for _, m := range q.Members {
				role := "voter"
				if m.Learner {
					role = "learner"
				} else if m.Leader {
					role = "Raft's leader"
				}
				rows = append(rows, []any{m.Name, m.Raft, m.ID, role, cmp.Or(m.Trouble, "healthy")})
			}
			return table(w, rows)
		}}, err
	})
}

func quorumAddCommand(g *global) *cobra.Command {
	return question(g, "add HOST:REST-PORT", "Let a new member into the quorum, and tell how it is started", exactly("HOST:REST-PORT"), func(ctx context.Context, c *client.Client, args []string) (answer, error) {
		if _, err := raftAddress(args[0]); err != nil {
			return answer{}, usageError{fmt.Errorf("quorum add %s: expected HOST:REST-PORT: %w", args[0], err)}
		}
		a, err := c.AddToQuorum(ctx, args[0])
		return answer{a, func(w io.Writer) error { return printAddition(w, a) }}, err
	})
}

func printAddition(w io.Writer, a api.QuorumAddition) error {
	host, port, err := net.SplitHostPort(a.Member)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s may join the quorum now. Start it\n", a.Member)
	fmt.Fprintf(w, "- with these JobManagers in conf/masters, or in the key jobmanagers: %s\n", strings.Join(a.JobManagers, ","))
	fmt.Fprintf(w, "- with cluster.id: %s, and the storage.dir of the others\n", a.ClusterID)
	fmt.Fprintln(w, "- with nothing in its coordination.embedded.dir")
	_, err = fmt.Fprintf(w, "on its host, by bin/jobmanager.sh start %s %s. It gets its vote when it has caught up: see perennial quorum status\n", host, port)
	return err
}

func quorumRemoveCommand(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "remove HOST:REST-PORT", Short: "Take a member out of the quorum", Args: exactly("HOST:REST-PORT"),
		Long: `Remove takes a member, by its name in perennial quorum status, out of the quorum; its process ends. What would lose the quorum is refused.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.withClient(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				ctx, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
				defer cancel()
				if err := c.RemoveFromQuorum(ctx, args[0]); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s is no member of the quorum any more\n", args[0])
				return nil
			})
		},
	}
}

// quorumMembers is the embedded quorum as the API tells of it: members are named by their REST addresses.
type quorumMembers struct {
	server  *embedded.Server
	cluster string // cluster.id
}

func (q quorumMembers) Status(ctx context.Context) (api.Quorum, error) {
	var status api.Quorum
	for _, m := range q.server.Members(ctx) {
		status.Members = append(status.Members, api.QuorumMember{
			Name: cmp.Or(m.REST, restAddress(m.Raft)), Raft: m.Raft, ID: m.ID,
			Learner: m.Learner, Leader: m.Leader, Healthy: m.Healthy, Trouble: m.Trouble, Behind: m.Behind,
		})
	}
	return status, nil
}

func (q quorumMembers) Add(ctx context.Context, member string) (api.QuorumAddition, error) {
	raft, err := raftAddress(member)
	if err != nil {
		return api.QuorumAddition{}, &api.Error{Code: api.BadRequest, Message: fmt.Sprintf("member: %v", err)}
	}
	if err := q.server.AddMember(ctx, embedded.Peer{REST: member, Raft: raft}); err != nil {
		return api.QuorumAddition{}, quorumError(err)
	}
	a := api.QuorumAddition{Member: member, ClusterID: q.cluster}
	for _, m := range q.server.Members(ctx) {
		a.JobManagers = append(a.JobManagers, cmp.Or(m.REST, restAddress(m.Raft)))
	}
	return a, nil
}

func (q quorumMembers) Remove(ctx context.Context, member string) error {
	err := q.server.RemoveMember(ctx, member)
	if raft, bad := raftAddress(member); errors.Is(err, embedded.ErrNoMember) && bad == nil {
		err = q.server.RemoveMember(ctx, raft) // one that has not been started has no name
	}
	return quorumError(err)
}

// quorumError is what a client is told. What is none of these it asks again.
func quorumError(err error) error {
	switch {
	case errors.Is(err, embedded.ErrRefused):
		return &api.Error{Code: api.Conflict, Message: err.Error()}
	case errors.Is(err, embedded.ErrNotYet):
		return &api.Error{Code: api.Unavailable, Message: err.Error()}
	case errors.Is(err, embedded.ErrNoMember):
		return &api.Error{Code: api.NotFound, Message: fmt.Sprintf("%v; perennial quorum status lists them", err)}
	}
	return err
}

// restAddress reverses raftAddress.
func restAddress(raft string) string {
	host, p, err := net.SplitHostPort(raft)
	port, bad := strconv.Atoi(p)
	if err != nil || bad != nil {
		return raft
	}
	return net.JoinHostPort(host, strconv.Itoa(port-raftOffset))
}
