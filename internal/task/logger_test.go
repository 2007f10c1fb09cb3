package task

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

// TestLogger: a task process logs as its TaskManager does, and names the attempt.
func TestLogger(t *testing.T) {
	deploy := rpc.Deploy{Spec: job.Spec{ID: "job-1"}, Attempt: 3}
	for format, want := range map[string]string{"text": `level=WARN msg=said job=job-1 attempt=3`, "json": `"level":"WARN","msg":"said","job":"job-1","attempt":3}`} {
		var out bytes.Buffer
		l := logger(&out, rpc.Start{Deploy: deploy, Log: &rpc.Log{Level: slog.LevelWarn, Format: format}})
		l.Info("not said")
		l.Warn("said")
		if got := strings.TrimSpace(out.String()); !strings.HasSuffix(got, want) || strings.Contains(got, "not said") {
			t.Errorf("%s: %s", format, got)
		}
	}
}
