package embedded

import (
	"bytes"
	"log/slog"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"
)

// TestLog: etcd's warnings pass with their fields, its chatter does not.
func TestLog(t *testing.T) {
	for _, test := range []struct {
		name    string
		closing bool
		say     func(*zap.Logger)
		want    string
	}{
		{"info", false, func(l *zap.Logger) { l.Info("x") }, ""},
		{"warning", false, func(l *zap.Logger) { l.Warn("slow", zap.Int("ms", 7), zap.String("disk", "a")) },
			"level=WARN msg=\"etcd: slow\" disk=a ms=7\n"},
		{"field of a child", false, func(l *zap.Logger) { l.With(zap.Int("a", 1)).Error("bad", zap.Int("b", 2)) },
			"level=ERROR msg=\"etcd: bad\" a=1 b=2\n"},
		{"chatter", false, func(l *zap.Logger) { l.Warn("closed TCP streaming connection with remote peer") }, ""},
		{"while it is being stopped", true, func(l *zap.Logger) { l.Error("use of closed network connection") }, ""},
	} {
		var out bytes.Buffer
		withoutTime := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}
		var closing atomic.Bool
		closing.Store(test.closing)
		test.say(zap.New(&bridge{log: slog.New(slog.NewTextHandler(&out, withoutTime)), closing: &closing}))
		if got := out.String(); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
