package file

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/perennial-io/perennial/connector"
)

// Atomic says, to Watch, that a file is complete as soon as it is seen under its name, as one is that was renamed into
// its place: it need not be seen unchanged first.
func Atomic() Option { return func(l *lines) { l.atomic = true } }

// Forget bounds what Watch remembers, which by default is the name of every file that it has ever taken: a file whose
// modification time is more than age before that of the newest one taken counts as taken as well, whatever its name.
// Such a file that comes late is not read, and logged.
func Forget(age time.Duration) Option { return func(l *lines) { l.forget = age } }

// Watch is the unbounded source of the lines of the files that are in a directory, or match a pattern, and of
// those that come there later. It looks for them every interval, in the order of their names. path, Match, and which
// files are passed over, are as for Lines; but the directory may be empty.
//
// A file is taken once it is complete: when its size and its modification time were the same an interval ago, or at
// once if Atomic says so. So write it under another name, with a dot before it or outside of the directory, and
// rename it; or write it without a pause longer than the interval. It is taken once, as long as it is then: what
// is appended later is not read, nor is another file of the same name. An empty file is not taken. A file must stay
// until a checkpoint is complete that covers all of it; after that it may be removed.
//
// Semantics: exactly-once. The names that were taken, and the position in each file, are part of a checkpoint. A
// directory that cannot be read for a while is waited for.
func Watch(path string, interval time.Duration, options ...Option) connector.Source[string] {
	return watch{newLines(path, options), interval}
}

type watch struct {
	lines
	interval time.Duration
}

func (w watch) Bounded() bool { return false }

// SplitsEnd is true: a file is read to the end that it had when it was taken.
func (w watch) SplitsEnd() bool { return true }

// Check reports options that make no sense, and a path where there is nothing to watch.
func (w watch) Check(ctx *connector.Context) error {
	in, err := w.input(ctx)
	if err != nil {
		return err
	}
	_, err = os.Stat(in.path)
	if errors.Is(err, fs.ErrNotExist) && strings.ContainsAny(in.given, `*?[`) {
		return nil
	}
	if err != nil {
		return in.unreadable(err)
	}
	return nil
}

func (w watch) input(ctx *connector.Context) (*input, error) {
	if w.interval <= 0 {
		return nil, fmt.Errorf("watch %q every %v: expected a positive interval", w.path, w.interval)
	}
	if w.forget < 0 {
		return nil, fmt.Errorf("watch %q: forget files after %v: expected a positive duration", w.path, w.forget)
	}
	in, err := w.lines.input(ctx)
	if err == nil {
		in.alive = true
	}
	return in, err
}

// Splits names what is found, from the beginning.
func (w watch) Splits(ctx *connector.Context, emit func(connector.Split) error) error {
	return w.Discover(ctx, nil, func(splits []connector.Split, _ []byte) error {
		for _, s := range splits {
			if err := emit(s); err != nil {
				return err
			}
		}
		return nil
	})
}

// Discover looks for files until ctx ends. The splits of all that one look finds come together.
func (w watch) Discover(ctx *connector.Context, state []byte, emit func([]connector.Split, []byte) error) error {
	in, err := w.input(ctx)
	if err != nil {
		return err
	}
	known, err := decodeTaken(state)
	if err != nil {
		return fmt.Errorf("watch %q: the state: %w", w.path, err)
	}
	look := &looking{watch: w, in: in, ctx: ctx, taken: known, quiet: len(state) > 0}
	for timer := time.NewTimer(0); ; timer.Reset(w.interval) {
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
		splits, err := look.once()
		look.tell(err)
		if len(splits) > 0 {
			if err := emit(splits, look.taken.encode()); err != nil {
				return err
			}
		}
	}
}

// looking is what one look knows of those before it.
type looking struct {
	watch
	in      *input
	ctx     *connector.Context
	taken   taken
	growing map[string]stamp // not taken yet, as they were at the last look
	old     map[string]bool  // too old to be taken, and read before or said to be passed over
	quiet   bool             // it goes on after a failure: which of the old ones were read is not known any more
	failing bool             // the last look
}

// stamp tells a file that has not changed.
type stamp struct {
	size     int64
	modified int64 // as time.Time.UnixNano
}

// once returns the splits of the files that are complete now and were not taken, and takes them. After an error
// nothing has changed.
func (l *looking) once() ([]connector.Split, error) {
	var splits []connector.Split
	s := splitter{size: l.splitSize, emit: func(split connector.Split) error { splits = append(splits, split); return nil }}
	growing, fresh, old := map[string]stamp{}, map[string]int64{}, map[string]bool{}
	err := l.in.walk(func(path string, info fs.FileInfo) error {
		now := stamp{info.Size(), info.ModTime().UnixNano()}
		before, seen := l.growing[path]
		switch {
		case l.taken.has(path):
			l.taken.touch(path, now.modified)
			return nil
		case now.size == 0:
			return nil
		case !seen && now.modified < l.taken.before:
			l.passOver(path, now)
			old[path] = true
			return nil
		case !l.atomic && before != now:
			growing[path] = now
			return nil
		}
		fresh[path] = now.modified
		return s.add(path, now.size)
	})
	if err := cmp.Or(err, s.flush()); err != nil {
		return nil, err
	}
	l.growing, l.old, l.quiet = growing, old, false
	for _, path := range l.taken.add(fresh, l.forget) {
		l.old[path] = true
	}
	return splits, nil
}

// passOver notes a file that is too old, and says so once.
func (l *looking) passOver(path string, now stamp) {
	if l.old[path] || l.quiet {
		return
	}
	l.ctx.Logger().Warn("a file is not read: it came later than file.Forget allows for one so old", "file", path, "modified", time.Unix(0, now.modified))
}

// tell logs when looks begin to fail, and when they succeed again.
func (l *looking) tell(err error) {
	switch {
	case err != nil && !l.failing && l.ctx.Err() == nil:
		l.ctx.Logger().Warn("the watched directory cannot be read; it is tried again", "path", l.in.path, "error", err)
	case err == nil && l.failing:
		l.ctx.Logger().Info("the watched directory can be read again", "path", l.in.path)
	}
	l.failing = err != nil
}
