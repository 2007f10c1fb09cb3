package embedded

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"go.uber.org/zap/zapcore"
)

// bridge is a zap core on a slog logger. It lets warnings and errors pass; what etcd says
// below that is for etcd's authors. It holds no lock and no buffer.
type bridge struct {
	log     *slog.Logger
	fields  []zapcore.Field
	closing *atomic.Bool // the member is being stopped: what breaks now is meant to
}

// chatter is what etcd warns of although nothing is wrong, or says five times for each
// member that goes away ("peer became inactive" is left). It is logged at the debug level.
var chatter = []string{
	"closed TCP streaming connection",
	"lost TCP streaming connection",
	"established TCP streaming connection",
	"failed to find remote peer in cluster",
	"prober detected unhealthy status",
	"failed to reach the peer URL",
	"failed to get version",
	"ignored out-of-date read index response", // reads are tried again by design
	"waiting for ReadIndex response took too long",
	"Failed to detect schema version",             // of a member that has just been made,
	"failed to update storage version",            // which is tried again
	"failed to apply request",                     // of a client, who is told
	"leader failed to send out heartbeat on time", // by a tenth of a second; an election says it if it mattered
	"bootstrap failed",                            // Start returns it
}

// Enabled implements zapcore.LevelEnabler.
func (b *bridge) Enabled(l zapcore.Level) bool { return l >= zapcore.WarnLevel }

// With implements zapcore.Core.
func (b *bridge) With(fields []zapcore.Field) zapcore.Core {
	return &bridge{log: b.log, fields: append(slices.Clip(b.fields), fields...), closing: b.closing}
}

// Check implements zapcore.Core.
func (b *bridge) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if b.Enabled(e.Level) {
		return ce.AddCore(e, b)
	}
	return ce
}

// Write implements zapcore.Core.
func (b *bridge) Write(e zapcore.Entry, fields []zapcore.Field) error {
	level := b.level(e)
	if !b.log.Enabled(context.Background(), level) {
		return nil
	}
	values := zapcore.NewMapObjectEncoder()
	for _, f := range slices.Concat(b.fields, fields) {
		f.AddTo(values)
	}
	attrs := make([]slog.Attr, 0, len(values.Fields))
	for _, name := range slices.Sorted(maps.Keys(values.Fields)) {
		attrs = append(attrs, slog.Any(name, values.Fields[name]))
	}
	b.log.LogAttrs(context.Background(), level, "etcd: "+e.Message, attrs...)
	return nil
}

func (b *bridge) level(e zapcore.Entry) slog.Level {
	isChatter := func(start string) bool { return strings.HasPrefix(e.Message, start) }
	switch {
	case e.Level > zapcore.ErrorLevel: // etcd ends the process after this
		return slog.LevelError
	case b.closing.Load() || slices.ContainsFunc(chatter, isChatter):
		return slog.LevelDebug
	case e.Level == zapcore.ErrorLevel:
		return slog.LevelError
	}
	return slog.LevelWarn
}

// Sync implements zapcore.Core.
func (b *bridge) Sync() error { return nil }
