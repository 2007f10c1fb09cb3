package execution

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

var update = flag.Bool("update", false, "write the transcripts of testdata as they come out")

const testID = job.ID("0198f0c2a1b27c3d8e4f5a6b7c8d9e0f")

// TestTranscripts plays the events of testdata/*.txt, the lines that begin with ">" or "job",
// and expects the indented lines below each: the actions that the execution asks for.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("transcript differs (-want +got):\n%s", diff)
			}
		})
	}
}

// player plays one transcript.
type player struct {
	t    *testing.T
	e    *Execution
	last *Intent // of the last commit
}

func play(t *testing.T, text string) string {
	p := &player{t: t}
	var out strings.Builder
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "job"):
			p.begin(strings.Fields(line)[1:])
			out.WriteString(line)
		case strings.HasPrefix(line, ">"):
			out.WriteString(line)
			for _, l := range p.step(strings.TrimSpace(line[1:])) {
				out.WriteString("  " + l + "\n")
			}
		case strings.HasPrefix(line, "  "): // an action, told anew
		default:
			out.WriteString(line)
		}
	}
	return out.String()
}

// begin makes the execution: "job" alone is a new one, otherwise phase, attempt=N, vertices
// as name=parallelism, and one TaskManager per slot. Exchanges connect the vertices, unless it says "apart".
func (p *player) begin(fields []string) {
	in := Intent{Spec: job.Spec{ID: testID, Name: "test"}, Phase: Created}
	g := &job.Graph{Name: "test", MaxParallelism: 128, Bounded: true}
	retain, apart := defaultRetain, false
	for i, f := range fields {
		name, value, isPair := strings.Cut(f, "=")
		switch {
		case i == 0:
			in.Phase = Phase(f)
		case name == "attempt":
			in.Attempt = job.Attempt(p.number(value))
		case name == "unbounded":
			g.Bounded = false
		case name == "apart":
			apart = true
		case name == "retain":
			retain = p.number(value)
		case name == "reserved":
			in.Reserved = job.CheckpointID(p.number(value))
		case name == "open":
			in.Reserved = job.CheckpointID(p.number(value))
			in.Open = in.Reserved
		case name == "completed":
			id := job.CheckpointID(p.number(value))
			in.Reserved = max(in.Reserved, id)
			in.Completed = append(in.Completed, job.Pointer{Checkpoint: id})
		case name == "outputs":
			in.Outputs = value
		case name == "savepoint":
			in.Spec.Savepoint = value
		case isPair:
			g.Vertices = append(g.Vertices, p.vertex(f))
		default:
			in.Assignment = append(in.Assignment, f)
		}
	}
	if len(g.Vertices) == 0 {
		g = nil
	} else {
		if !apart {
			connect(g)
		}
		in.GraphHash = g.Hash()
	}
	p.e, p.last = New(in, g, nil), nil
	p.e.Retain(retain)
}

func (p *player) step(line string) []string {
	switch verb, rest, _ := strings.Cut(line, " "); verb {
	case "view":
		return p.view()
	case "successor":
		p.e = successor(p.e)
		return nil
	case "tolerate":
		p.e.Tolerate(p.number(rest))
		return nil
	}
	if why, ok := strings.CutPrefix(line, "no-restart"); ok {
		p.e.RefuseRestart(strings.TrimSpace(why))
		return nil
	}
	var lines []string
	for _, a := range p.e.Step(p.event(line)) {
		lines = append(lines, p.describe(a))
	}
	return lines
}

func (p *player) event(line string) Event {
	verb, rest, _ := strings.Cut(line, " ")
	f := strings.Fields(rest)
	switch verb {
	case "began":
		return Began{}
	case "committed":
		in := *p.last
		if in.Phase == Publishing {
			in.Outputs = fmt.Sprintf("outputs-%d", in.Attempt)
		}
		return Committed{Intent: in}
	case "planned":
		return Planned{Graph: p.graph(f)}
	case "plan-failed":
		return Planned{Error: rest}
	case "granted":
		return SlotsGranted{Assignment: f}
	case "missing":
		return SlotsMissing{Missing: p.number(f[0])}
	case "yield":
		return Yield{}
	case "due":
		return CheckpointDue{}
	case "expired":
		return CheckpointExpired{Checkpoint: job.CheckpointID(p.number(f[0]))}
	case "renamed":
		return CheckpointPublished{Checkpoint: job.CheckpointID(p.number(f[0])), Error: strings.Join(f[1:], " ")}
	case "not-stored":
		return NotStored{Error: rest}
	case "cancel":
		return CancelRequested{}
	case "published":
		return Published{Error: rest}
	}
	if e := p.requestEvent(verb, f); e != nil {
		return e
	}
	return p.taskManagerEvent(verb, f)
}

// taskManagerEvent parses: verb, TaskManager, attempt=N, state, vertex.index (else all of its
// slots), "files" if it wrote some, and words of a failure; after "crashed" of the attempt's.
func (p *player) taskManagerEvent(verb string, f []string) Event {
	tm := f[0]
	switch verb {
	case "gone":
		return Gone{Instance: tm}
	case "dead":
		return Dead{Instance: tm, Reason: strings.Join(f[1:], " ")}
	case "dead-with-a-lease":
		return Dead{Instance: tm, Reason: strings.Join(f[1:], " "), Until: time.Unix(1, 0)}
	case "over":
		return Over{Instance: tm}
	case "draining":
		return Draining{Instance: tm, Force: len(f) > 1}
	case "left":
		return Dead{Instance: tm, Reason: "it said that it ends", Planned: true}
	case "ready":
		ready := Ready{Instance: tm}
		if len(f) > 1 {
			ready.Attempts = append(ready.Attempts, p.report(tm, f[1:]))
		}
		return ready
	case "changed":
		return Changed{Instance: tm, Attempt: p.report(tm, f[1:])}
	case "stopped":
		s := Stopped{Part{Instance: tm, Attempt: p.attempt(f[1])}}
		if len(f) > 2 {
			s.Region = p.number(strings.TrimPrefix(f[2], "region="))
		}
		return s
	case "ack":
		return Acknowledged{Instance: tm, Attempt: p.attempt(f[1]), Ack: p.acknowledgement(f[2:])}
	}
	p.t.Fatalf("transcript: unknown event %q", verb)
	return nil
}

// acknowledgement parses: checkpoint, vertex.index, and "files" or "failed" with words.
func (p *player) acknowledgement(f []string) job.Acknowledgement {
	v, i, _ := strings.Cut(f[1], ".")
	a := job.Acknowledgement{
		Checkpoint: job.CheckpointID(p.number(f[0])), Subtask: job.Subtask{Vertex: p.number(v), Index: p.number(i)},
		States: []job.StateHandle{{Operator: "op", Size: 10}},
	}
	switch {
	case len(f) > 2 && f[2] == "files":
		a.Outputs = []job.OperatorOutput{{Operator: "sink", Output: job.Output{Temp: "/out/.x", Final: "/out/x"}}}
	case len(f) > 2 && f[2] == "failed":
		a.Failure = strings.Join(f[3:], " ")
	}
	return a
}

func (p *player) report(tm string, f []string) rpc.AttemptReport {
	r := rpc.AttemptReport{Job: testID, Attempt: p.attempt(f[0]), PID: 100 * int(p.attempt(f[0]))}
	template := rpc.SubtaskReport{State: job.State(f[1])}
	rest := f[2:]
	var only *job.Subtask
	if len(rest) > 0 && strings.Contains(rest[0], ".") {
		v, i, _ := strings.Cut(rest[0], ".")
		only, rest = &job.Subtask{Vertex: p.number(v), Index: p.number(i)}, rest[1:]
	}
	files := len(rest) > 0 && rest[0] == "files"
	if files {
		rest = rest[1:]
	}
	if len(rest) > 1 && rest[0] == "committed" {
		template.Committed, rest = job.CheckpointID(p.number(rest[1])), rest[2:]
	}
	if len(rest) > 0 && rest[0] == "settling" {
		template.Settling, rest = true, rest[1:]
	}
	if len(rest) > 0 && rest[0] == "killed" {
		template.Killed, rest = true, rest[1:]
	}
	if len(rest) > 1 && rest[0] == "damaged" {
		template.Damaged, rest = job.CheckpointID(p.number(rest[1])), rest[2:]
	}
	if len(rest) > 0 && rest[0] == "crashed" {
		r.Failure, r.Killed = strings.Join(rest[1:], " "), template.Killed
	} else {
		template.Failure = strings.Join(rest, " ")
	}
	subtasks := p.subtasks(tm, &r, only)
	for _, s := range subtasks {
		if only != nil && *only != s {
			continue
		}
		report := template
		report.Subtask = s
		if files && s.Vertex == len(p.e.graph.Vertices)-1 {
			name := fmt.Sprintf("part-%d-%d", s.Index, r.Attempt)
			report.Outputs = []job.Output{{Temp: "/out/." + name, Final: "/out/" + name}}
		}
		r.Subtasks = append(r.Subtasks, report)
	}
	return r
}

// subtasks lists what a report is about: the first part that the TaskManager has of the attempt, or that of one
// subtask. Without a part it is what its slots would have.
func (p *player) subtasks(tm string, r *rpc.AttemptReport, only *job.Subtask) (list []job.Subtask) {
	for _, part := range p.e.parts {
		if part.Instance == tm && part.Attempt == r.Attempt && (only == nil || slices.Contains(part.Subtasks, *only)) {
			r.Region = part.Region
			return part.Subtasks
		}
	}
	for slot, name := range p.e.committed.Assignment {
		if name == tm {
			list = append(list, p.e.graph.SlotSubtasks(slot)...)
		}
	}
	return list
}

func (p *player) describe(a Action) string {
	switch a := a.(type) {
	case Commit:
		p.last = &a.Intent
		return "commit " + describeIntent(a)
	case Trigger:
		s := fmt.Sprintf("trigger %s checkpoint=%d", a.Part, a.Checkpoint)
		if a.Base != 0 {
			s += fmt.Sprintf(" base=%d", a.Base)
		}
		if a.Stop {
			s += " stop"
		}
		return s
	case Closed:
		s := fmt.Sprintf("closed %s checkpoint=%d", a.Part, a.Checkpoint)
		if a.Completed != 0 {
			s += fmt.Sprintf(" completed=%d", a.Completed)
		}
		if a.Published {
			s += " published"
		}
		if a.Resume {
			s += " resume"
		}
		return s
	case PublishCheckpoint:
		return fmt.Sprintf("rename checkpoint=%d", a.Pointer.Checkpoint)
	case RequestSlots:
		s := fmt.Sprintf("request %d slots", a.Slots)
		if len(a.Kept) > 0 {
			s += fmt.Sprintf(" beside %v", a.Kept)
		}
		if a.Move {
			s += " to move"
		}
		if a.Restarts > 1 {
			s += fmt.Sprintf(" restarts=%d", a.Restarts)
		}
		return s
	case HoldSlots:
		return fmt.Sprintf("hold slots %v", a.Assignment)
	case ReleaseSlots:
		return "release slots"
	case Deploy:
		return fmt.Sprintf("deploy %s slots=%v", a.Part, a.Slots)
	case Stop:
		return fmt.Sprintf("stop %s", a.Part)
	case Confirm:
		return fmt.Sprintf("confirm %s", a.Part)
	case Publish:
		if a.Stopped != nil {
			return fmt.Sprintf("publish what checkpoint %d names", a.Stopped.Checkpoint)
		}
		return "publish " + a.Outputs
	case Discard:
		return "discard " + describeOutputs(a.Outputs)
	}
	if s := describeRequestAction(a); s != "" {
		return s
	}
	p.t.Fatalf("unknown action %T", a)
	return ""
}

func describeIntent(c Commit) string {
	s := fmt.Sprintf("%s attempt=%d", c.Intent.Phase, c.Intent.Attempt)
	if c.Intent.Phase == Running {
		s += " on " + strings.Join(c.Intent.Assignment, " ")
	}
	if c.Intent.Regions != nil {
		s += fmt.Sprintf(" regions=%v", c.Intent.Regions)
	}
	if c.Intent.GivenUp != nil {
		s += fmt.Sprintf(" given-up=%v", c.Intent.GivenUp)
	}
	if c.Intent.Uncounted {
		s += " uncounted"
	}
	if len(c.Outputs) > 0 {
		s += " list: " + describeOutputs(c.Outputs)
	}
	s += describeCheckpoints(c) + describeRequests(c.Intent)
	if c.Intent.Failure != "" {
		s += " failure: " + strings.ReplaceAll(c.Intent.Failure, "\n", " | ")
	}
	return s
}

func describeCheckpoints(c Commit) string {
	s := ""
	if c.Intent.Open != 0 {
		s += fmt.Sprintf(" open=%d", c.Intent.Open)
	}
	for _, p := range c.Intent.Completed {
		s += fmt.Sprintf(" completed=%d", p.Checkpoint)
	}
	if len(c.Completes) > 0 {
		s += fmt.Sprintf(" of %d acknowledgements", len(c.Completes))
	}
	if c.Intent.Unpublished {
		s += " unpublished"
	}
	if c.Intent.Restore != nil {
		s += fmt.Sprintf(" restore=%d", c.Intent.Restore.Checkpoint)
	}
	if c.Intent.LastAbort != "" {
		s += " aborted: " + c.Intent.LastAbort
	}
	return s
}

func describeOutputs(outputs []job.Output) string {
	var names []string
	for _, o := range outputs {
		names = append(names, o.Final)
	}
	return strings.Join(names, " ")
}

func (p *player) view() []string {
	v := p.e.View()
	lines := []string{fmt.Sprintf("%s attempt=%d restarts=%d missing=%d adopted=%v", v.State, v.Attempt, v.Restarts, v.SlotsMissing, p.e.Adopted())}
	if v.LeaseWait != nil {
		lines[0] += " waits for the lease of " + v.LeaseWait.TaskManager
	}
	for _, vertex := range v.Vertices {
		line := vertex.Name + ":"
		for _, s := range vertex.Subtasks {
			line += fmt.Sprintf(" [%d attempt=%d %s %s pid=%d]", s.Index, s.Attempt, s.State, s.TaskManager, s.PID)
		}
		lines = append(lines, line)
	}
	return lines
}

func (p *player) attempt(s string) job.Attempt {
	_, n, _ := strings.Cut(s, "attempt=")
	return job.Attempt(p.number(n))
}

func (p *player) number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		p.t.Fatalf("transcript: %q is no number", s)
	}
	return n
}
