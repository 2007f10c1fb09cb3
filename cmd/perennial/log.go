package main

import (
	"log/slog"
	"os"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"

	"github.com/perennial-io/perennial/internal/config"
)

// newLogger logs as the configuration says: coloured text on a terminal, else text or JSON.
func newLogger(c *config.Config, f *os.File) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.String(config.LogLevel))); err != nil {
		panic(err) // checked when it was set
	}
	switch {
	case c.String(config.LogFormat) == "json":
		return slog.New(slog.NewJSONHandler(f, &slog.HandlerOptions{Level: level}))
	case term.IsTerminal(int(f.Fd())):
		return slog.New(tint.NewTextHandler(f, &tint.Options{Level: level, TimeFormat: time.StampMilli}))
	}
	return slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{Level: level}))
}
