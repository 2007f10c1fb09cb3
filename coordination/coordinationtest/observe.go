package coordinationtest

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/perennial-io/perennial/coordination"
)

// testObserve follows an election through another session: each change is told,
// and the epoch never falls.
func testObserve(t *testing.T, c Cluster) {
	watcher, a, b := open(t, c), open(t, c), open(t, c)
	observed := watcher.Observe(within(t))
	highest := coordination.Epoch(0)
	see := func(what string, ok func(coordination.Leadership) bool) {
		t.Helper()
		await(t, observed, what, func(l coordination.Leadership) bool {
			if l.Epoch < highest {
				t.Fatalf("observed epoch %d after %d", l.Epoch, highest)
			}
			highest = l.Epoch
			return ok(l)
		})
	}
	see("nobody", func(l coordination.Leadership) bool { return l.Epoch == 0 && !l.Alive })

	term := lead(t, a, "a")
	see("a leads", func(l coordination.Leadership) bool {
		return l.Epoch == 1 && l.ID == "a" && l.Alive && string(l.Data) == "address of a"
	})
	if err := term.Resign(within(t)); err != nil {
		t.Fatalf("Resign: %v", err)
	}
	see("a has resigned", func(l coordination.Leadership) bool { return l.Epoch == 1 && !l.Alive })
	commit(t, term, coordination.Create("last words", nil)) // the epoch is still a's

	lead(t, b, "b")
	see("b leads", func(l coordination.Leadership) bool { return l.Epoch == 2 && l.ID == "b" && l.Alive })
	if err := b.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	see("b is gone", func(l coordination.Leadership) bool { return l.Epoch == 2 && !l.Alive })
	lead(t, a, "a")
	see("a leads again", func(l coordination.Leadership) bool { return l.Epoch == 3 && l.ID == "a" && l.Alive })
}

// testObserveSlowly reads only after many changes: the last one must still come.
func testObserveSlowly(t *testing.T, c Cluster) {
	watcher, a := open(t, c), open(t, c)
	observed := watcher.Observe(within(t))
	members := watcher.WatchMembers(within(t))
	const changes = 40
	for i := range changes {
		lead(t, a, "a")
		if err := a.Join(within(t), coordination.Member{ID: "a", Data: fmt.Append(nil, i)}); err != nil {
			t.Fatalf("Join: %v", err)
		}
	}
	await(t, observed, "the last epoch", func(l coordination.Leadership) bool { return l.Epoch == changes && l.Alive })
	await(t, members, "the last members", func(m []coordination.Member) bool {
		return len(m) == 1 && string(m[0].Data) == fmt.Sprint(changes-1)
	})
}

func testObserveUntilDone(t *testing.T, c Cluster) {
	s := open(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	leaders, members := s.Observe(ctx), s.WatchMembers(ctx)
	await(t, leaders, "the present leader", func(coordination.Leadership) bool { return true })
	await(t, members, "the present members", func(m []coordination.Member) bool { return len(m) == 0 })
	cancel()
	awaitEnd(t, leaders, "Observe, whose context is done,")
	awaitEnd(t, members, "WatchMembers, whose context is done,")
	leader(t, s) // the session goes on
}

func testMembers(t *testing.T, c Cluster) {
	watcher, a, b := open(t, c), open(t, c), open(t, c)
	watched := watcher.WatchMembers(within(t))
	seeIDs := func(want ...string) {
		t.Helper()
		await(t, watched, fmt.Sprintf("members %q", want), func(m []coordination.Member) bool {
			return slices.Equal(idsOf(m), want)
		})
	}
	seeIDs()
	join(t, b, "b", "at b")
	seeIDs("b")
	join(t, a, "a", "at a")
	seeIDs("a", "b")
	for _, s := range []coordination.Store{watcher, a, b} {
		until(t, "every process lists a and b", func() bool {
			m := membersOf(t, s)
			return slices.Equal(idsOf(m), []string{"a", "b"}) && string(m[0].Data) == "at a" && string(m[1].Data) == "at b"
		})
	}
	if err := a.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	seeIDs("b")
	if c.Expire == nil {
		return
	}
	c.Expire(t, b)
	seeIDs()
}

// testMembersJoinAgain replaces a member's data, by the same session and by the next
// one, whose predecessor's end must not take it away.
func testMembersJoinAgain(t *testing.T, c Cluster) {
	watcher, first, second := open(t, c), open(t, c), open(t, c)
	watched := watcher.WatchMembers(within(t))
	seeData := func(want string) {
		t.Helper()
		await(t, watched, "a member with "+want, func(m []coordination.Member) bool {
			return len(m) == 1 && m[0].ID == "a" && string(m[0].Data) == want
		})
	}
	join(t, first, "a", "one")
	seeData("one")
	join(t, first, "a", "two")
	seeData("two")
	join(t, second, "a", "three")
	seeData("three")
	if err := first.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	join(t, second, "b", "a later change") // whatever first's end did is visible once this is
	await(t, watched, "b", func(m []coordination.Member) bool { return slices.Contains(idsOf(m), "b") })
	if got := idsOf(membersOf(t, watcher)); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("after the end of its former session the members are %q, want a and b", got)
	}
}

func join(t *testing.T, s coordination.Store, id, data string) {
	t.Helper()
	if err := s.Join(within(t), coordination.Member{ID: id, Data: []byte(data)}); err != nil {
		t.Fatalf("Join of %s: %v", id, err)
	}
}

func membersOf(t *testing.T, s coordination.Store) []coordination.Member {
	t.Helper()
	m, err := s.Members(within(t))
	if err != nil {
		t.Fatalf("Members: %v", err)
	}
	return m
}

func idsOf(members []coordination.Member) []string {
	var ids []string
	for _, m := range members {
		ids = append(ids, m.ID)
	}
	return ids
}
