//go:build unix

package task_test

import (
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/boottime"
	"github.com/perennial-io/perennial/internal/rpc"
)

// TestLeaseOfProcess: a task process says that it heeds leases, and does nothing but in one: not before the first, and not after the
// end of one, by the clock that the TaskManager reads too.
func TestLeaseOfProcess(t *testing.T) {
	s := spec("endless", 1)
	c := newChild(t, s)
	c.startWith(&rpc.Lease{}, s, mustPlan(t, s).Hash(), []int{0}, nil)
	c.until("it is ready", func(m rpc.Message) bool {
		ready, is := m.(rpc.Ready)
		if is && !ready.Leases {
			t.Error("it does not heed leases")
		}
		return is
	})
	records := func(m rpc.Message) (n uint64, is bool) {
		p, is := m.(rpc.Progress)
		for _, counters := range p.Counters {
			n += counters.In
		}
		return n, is
	}
	standsStill := func() (at uint64) {
		t.Helper()
		c.until("it stands still for a second", func(m rpc.Message) bool {
			n, is := records(m)
			still := is && n == at
			if is {
				at = n
			}
			return still
		})
		return at
	}
	if n := standsStill(); n != 0 {
		t.Fatalf("it has read %d records without a lease", n)
	}
	hand := func(l rpc.Lease) {
		t.Helper()
		if err := c.control.Send(rpc.Header{}, l); err != nil {
			t.Fatal(err)
		}
	}
	hand(rpc.Lease{Until: boottime.Now() + time.Hour})
	c.until("it reads", func(m rpc.Message) bool { n, _ := records(m); return n > 0 })
	hand(rpc.Lease{Until: boottime.Now() + 1500*time.Millisecond})
	before := standsStill()
	hand(rpc.Lease{Until: boottime.Now() + time.Hour})
	c.until("it goes on", func(m rpc.Message) bool { n, _ := records(m); return n > before })
	if err := c.control.Send(rpc.Header{}, rpc.Cancel{}); err != nil {
		t.Fatal(err)
	}
	if status := c.status(); status != 0 {
		t.Errorf("status %d", status)
	}
}
