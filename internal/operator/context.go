package operator

import (
	"context"
	"log/slog"
	"path/filepath"

	"github.com/perennial-io/perennial/internal/job"
)

// Context is what a user function may know of the place where it runs: one operator in one
// subtask of one attempt. It is also a context.Context, which ends when the subtask is to stop:
// a function that waits for anything waits for Done as well.
//
// It is made once per operator and subtask, never changes, and may be kept.
type Context struct {
	context.Context
	cfg     ContextConfig
	metrics *metrics
}

// ContextConfig is what a Context tells.
type ContextConfig struct {
	Job         job.ID
	Attempt     job.Attempt
	Operator    string
	Subtask     int
	Parallelism int               // 0: set by the runtime, or 1
	Args        map[string]string // the job's arguments, by name
	Inherited   []job.Output      // of a sink: hidden files of earlier attempts that are to become visible
	Dir         string            // absolute; "" means the process's own working directory
	Logger      *slog.Logger      // nil: slog.Default
	Metrics     *MetricNames      // of all subtasks of the job in this process; nil: its own
}

// NewContext returns a Context that ends with ctx. Tests of connectors may use it with an
// empty config, which stands for the only subtask of a first attempt.
func NewContext(ctx context.Context, cfg ContextConfig) *Context {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	cfg.Attempt = max(cfg.Attempt, 1)
	cfg.Parallelism = max(cfg.Parallelism, 1)
	return &Context{Context: ctx, cfg: cfg, metrics: lonely(cfg.Operator)}
}

// With returns the same place with another end.
func (c *Context) With(ctx context.Context) *Context {
	return &Context{Context: ctx, cfg: c.cfg, metrics: c.metrics}
}

// ForReaders returns the context of what lists a source's splits: it runs in one subtask, and
// tells the parallelism of those that will read them.
func (c *Context) ForReaders(parallelism int) *Context {
	cfg := c.cfg
	cfg.Parallelism = parallelism
	return &Context{Context: c.Context, cfg: cfg, metrics: c.metrics}
}

// Logger returns a logger that names the job, operator and subtask on each line.
func (c *Context) Logger() *slog.Logger { return c.cfg.Logger }

// Subtask returns the index of the subtask, from 0 to Parallelism()-1.
func (c *Context) Subtask() int { return c.cfg.Subtask }

// Parallelism returns the number of subtasks of the operator.
func (c *Context) Parallelism() int { return c.cfg.Parallelism }

// Attempt returns which execution of the job this is: 1, or more after it started over.
func (c *Context) Attempt() int { return int(c.cfg.Attempt) }

// JobID returns the job's id, 32 hex digits; it stays the same over all attempts.
func (c *Context) JobID() string { return string(c.cfg.Job) }

// Inherited returns the hidden outputs of earlier attempts that still are to become visible: a sink
// leaves them as they are.
func (c *Context) Inherited() []job.Output { return c.cfg.Inherited }

// Operator returns the operator's name, as given to the verb.
func (c *Context) Operator() string { return c.cfg.Operator }

// Arg returns the job's argument of that name, or "" if it was not given.
func (c *Context) Arg(name string) string { return c.cfg.Args[name] }

// Dir returns the directory in which the job was submitted: relative paths in its arguments
// start there. It is "" where that is the process's own working directory.
func (c *Context) Dir() string { return c.cfg.Dir }

// Path returns name as a path that holds wherever the task process runs: a relative one starts
// in Dir.
func (c *Context) Path(name string) string {
	if c.cfg.Dir == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(c.cfg.Dir, name)
}
