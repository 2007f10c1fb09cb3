package connectortest

import (
	"context"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/perennial-io/perennial/connector"
	"github.com/perennial-io/perennial/connector/file"
	"github.com/perennial-io/perennial/connector/generator"
	"github.com/perennial-io/perennial/stream"
)

// TestMain is also the main function of the job.
func TestMain(m *testing.M) {
	if os.Getenv("PERENNIAL_ROLE") != "" {
		stream.Main("ledger", buildMortal)
	}
	os.Exit(m.Run())
}

const mortalRecords = 3000

// buildMortal is a job whose process dies once, at the step that --die names. Its numbers are made, or are the lines of
// the files that come into --watch.
func buildMortal(env *stream.Env) {
	numbers := numbersOf(env, env.ArgOr("watch", ""))
	stream.To(stream.Rebalance(numbers), "ledger", connector.Transactional[int](mortal{entries[int](env.Arg("ledger")), env.Arg("die")}))
}

func numbersOf(env *stream.Env, watch string) stream.Stream[int] {
	if watch == "" {
		return stream.From(env, "numbers", generator.Count(mortalRecords, func(i uint64) int { return int(i) }), stream.Rate(env.FloatArgOr("rate", 3000)))
	}
	lines := stream.From(env, "numbers", file.Watch(watch, 20*time.Millisecond, file.Atomic()))
	return stream.Map(lines, "parse", func(line string) int {
		n, err := strconv.Atoi(line)
		if err != nil {
			panic(err)
		}
		return n
	})
}

// mortal is the ledger's sink in a process that dies at a step.
type mortal struct {
	entries[int]
	die string
}

func (s mortal) Begin(ctx *connector.Context) (connector.TransactionalWriter[int], error) {
	w, err := s.entries.Begin(ctx)
	return &mortalWriter{TransactionalWriter: w, ctx: ctx, sink: s}, err
}

type mortalWriter struct {
	connector.TransactionalWriter[int]
	ctx     *connector.Context
	sink    mortal
	records int
	commits atomic.Int32
	last    atomic.Bool // the input has ended
}

// pass is a step. At the one that is named the process dies, the first time that any process comes there.
func (w *mortalWriter) pass(step string) {
	if step != w.sink.die || w.ctx.Subtask() != 0 {
		return
	}
	f, err := os.OpenFile(string(w.sink.entries)+".died", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return // it has died before
	}
	f.Close()
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

func (w *mortalWriter) Write(records []int) error {
	w.records += len(records)
	if w.records > mortalRecords/8 {
		w.pass("write")
	}
	return w.TransactionalWriter.Write(records)
}

func (w *mortalWriter) Prepare() (connector.Committable, error) {
	w.last.Store(w.records >= mortalRecords/2-mortalRecords/10)
	if w.records > mortalRecords/8 {
		w.pass("before prepare")
	}
	c, err := w.TransactionalWriter.Prepare()
	w.pass("after any prepare")
	if w.records > mortalRecords/8 {
		w.pass("after prepare")
	}
	return c, err
}

func (w *mortalWriter) Commit(ctx context.Context, c connector.Committable) error {
	step := "commit"
	if w.last.Load() {
		step = "late commit"
	}
	w.pass("before any commit")
	if w.commits.Add(1) > 2 {
		w.pass("before " + step)
	}
	err := w.TransactionalWriter.Commit(ctx, c)
	w.pass("after any commit")
	if w.commits.Load() > 2 {
		w.pass("after " + step)
	}
	return err
}
