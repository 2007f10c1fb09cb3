package main

import (
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"

	"github.com/perennial-io/perennial/internal/config"
)

// logging is a process's log, whose level may change.
type logging struct {
	*slog.Logger
	level  *slog.LevelVar
	format string
}

// newLogger logs as the configuration says: coloured text on a terminal, else text or JSON.
func newLogger(c *config.Config, f *os.File) logging {
	l := logging{level: new(slog.LevelVar), format: c.String(config.LogFormat)}
	l.setLevel(c.String(config.LogLevel))
	if l.format == "text" && term.IsTerminal(int(f.Fd())) {
		l.Logger = slog.New(tint.NewTextHandler(f, &tint.Options{Level: l.level, TimeFormat: time.StampMilli}))
	} else {
		l.Logger = slog.New(handler(f, l.format, l.level))
	}
	return l
}

func handler(w io.Writer, format string, level slog.Leveler) slog.Handler {
	if format == "json" {
		return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})
	}
	return slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})
}

func (l logging) setLevel(name string) {
	if err := l.level.UnmarshalText([]byte(name)); err != nil {
		panic(err) // checked when it was set
	}
}
