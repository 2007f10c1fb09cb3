package stream_test

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/perennial-io/perennial/connector/slice"
	"github.com/perennial-io/perennial/stream"
)

type click struct {
	User string
	At   time.Time
}

// at is a time of the day on which the examples are.
func at(clock string) time.Time {
	t, err := time.Parse(time.TimeOnly, clock)
	if err != nil {
		panic(err)
	}
	return t
}

func ExampleProcess() {
	type visit struct {
		User   string
		Clicks int
	}
	run(func(env *stream.Env) {
		clicks := stream.From(env, "clicks", slice.Of(
			click{"ann", at("10:00:00")}, click{"bob", at("10:00:10")}, click{"ann", at("10:00:20")},
			click{"ann", at("11:30:00")}, click{"bob", at("11:31:00")}))
		timed := stream.Watermarks(clicks, "times", func(c click) time.Time { return c.At }, time.Minute)
		byUser := stream.KeyBy(timed, func(c click) string { return c.User })

		// A visit is over when half an hour has passed without a click.
		visits := stream.Process(byUser, "visits", func(op *stream.Operator[string, visit]) func(click) error {
			clicks := stream.NewValue[int](op, "clicks")
			last := stream.NewValue[time.Time](op, "last")
			op.OnEventTimer(func(now time.Time) error {
				if l, ok := last.Get(); !ok || l.Add(30*time.Minute).After(now) && !op.Ended() {
					return nil // there was another click
				}
				n, _ := clicks.Get()
				op.Emit(visit{op.Key(), n})
				clicks.Clear()
				last.Clear()
				return nil
			})
			return func(c click) error {
				if l, ok := last.Get(); ok && c.At.Sub(l) > 30*time.Minute { // the watermark is behind
					n, _ := clicks.Get()
					op.Emit(visit{op.Key(), n})
					clicks.Clear()
				}
				n, _ := clicks.Get()
				clicks.Set(n + 1)
				last.Set(c.At)
				op.SetEventTimer(c.At.Add(30 * time.Minute))
				return nil
			}
		})
		printed(visits)
	})
	// Unordered output:
	// {User:ann Clicks:2}
	// {User:bob Clicks:1}
	// {User:ann Clicks:1}
	// {User:bob Clicks:1}
}

func ExampleCoProcess() {
	type order struct {
		ID   int
		Item string
	}
	type payment struct {
		Order int
		Cents int
	}
	run(func(env *stream.Env) {
		orders := stream.KeyBy(stream.From(env, "orders", slice.Of(order{1, "tea"}, order{2, "milk"}, order{3, "salt"})),
			func(o order) int { return o.ID })
		payments := stream.KeyBy(stream.From(env, "payments", slice.Of(payment{2, 120}, payment{1, 450})),
			func(p payment) int { return p.Order })

		// Whichever of the two comes first waits for the other.
		paid := stream.CoProcess(orders, payments, "match", func(op *stream.Operator[int, string]) (func(order) error, func(payment) error) {
			item := stream.NewValue[string](op, "item")
			cents := stream.NewValue[int](op, "cents")
			match := func() error {
				i, ordered := item.Get()
				c, paid := cents.Get()
				if ordered && paid {
					op.Emit(fmt.Sprintf("%s for %d", i, c))
				}
				return nil
			}
			return func(o order) error { item.Set(o.Item); return match() },
				func(p payment) error { cents.Set(p.Cents); return match() }
		})
		printed(paid)
	})
	// Unordered output:
	// tea for 450
	// milk for 120
}

func ExampleProcessBroadcast() {
	type rule struct {
		Name  string
		Above int
	}
	run(func(env *stream.Env) {
		rules := stream.From(env, "rules", slice.Of(rule{"large", 100}))
		amounts := stream.KeyBy(stream.From(env, "amounts", slice.Of(5, 500)), func(n int) int { return n % 10 })

		// A number that comes before the rule is kept until it comes, or until the end.
		checked := stream.ProcessBroadcast(amounts, rules, "check", func(op *stream.Operator[int, string]) (func(int) error, func(rule) error) {
			above := stream.NewBroadcast[string, int](op, "rules")
			waiting := stream.NewList[int](op, "waiting")
			op.OnEventTimer(func(time.Time) error {
				limit, _ := above.Get("large")
				for n := range waiting.All() {
					op.Emit(fmt.Sprint(n, " is large: ", n > limit))
				}
				waiting.Clear()
				return nil
			})
			return func(n int) error {
					waiting.Add(n)
					op.SetEventTimer(time.UnixMilli(0))
					return nil
				}, func(r rule) error {
					above.Set(r.Name, r.Above)
					return nil
				}
		})
		printed(checked)
	})
	// Unordered output:
	// 5 is large: false
	// 500 is large: true
}

func ExampleIdleness() {
	run(func(env *stream.Env) {
		ended := make(chan struct{})
		end := sync.OnceFunc(func() { close(ended) })
		clicks := func(name string, list ...click) stream.Stream[click] {
			s := stream.FromFunc(env, name, func(_ *stream.Context, emit func(click)) error {
				for _, c := range list {
					emit(c)
				}
				<-ended // until then there is nothing more
				return nil
			})
			return stream.Watermarks(s, name+" times", func(c click) time.Time { return c.At }, 0, stream.Idleness(10*time.Millisecond))
		}
		busy := clicks("busy", click{"ann", at("10:00:00")}, click{"ann", at("10:40:00")})
		quiet := clicks("quiet") // without Idleness it would hold back event time

		byUser := stream.KeyBy(stream.Union(busy, quiet), func(c click) string { return c.User })
		idle := stream.Process(byUser, "idle", func(op *stream.Operator[string, string]) func(click) error {
			op.OnEventTimer(func(at time.Time) error {
				op.Emit(fmt.Sprintf("%s: half an hour until %s, ended: %t", op.Key(), at.UTC().Format(time.TimeOnly), op.Ended()))
				return nil
			})
			return func(c click) error { op.SetEventTimer(c.At.Add(30 * time.Minute)); return nil }
		})
		stream.ForEach(idle, "print", func(line string) { fmt.Println(line); end() })
	})
	// Output:
	// ann: half an hour until 10:30:00, ended: false
	// ann: half an hour until 11:10:00, ended: true
}

func ExampleDeadTimers() {
	run(func(env *stream.Env) {
		byName := stream.KeyBy(stream.From(env, "names", slice.Of("ann", "bob")), func(s string) string { return s })
		var failed stream.Stream[stream.DeadLetter[stream.Timer[string]]]
		greetings := stream.Process(byName, "greet", func(op *stream.Operator[string, string]) func(string) error {
			op.OnEventTimer(func(time.Time) error {
				op.Emit("hello " + op.Key())
				if op.Key() == "bob" {
					return errors.New("he has left") // and nothing was emitted
				}
				return nil
			})
			return func(string) error { op.SetEventTimer(at("10:00:00")); return nil }
		}, stream.DeadTimers(&failed))
		printed(greetings)
		stream.ForEach(failed, "failed", func(d stream.DeadLetter[stream.Timer[string]]) {
			fmt.Printf("%s at %s: %s\n", d.Record.Key, d.Record.At.UTC().Format(time.TimeOnly), d.Error)
		})
	})
	// Unordered output:
	// hello ann
	// bob at 10:00:00: he has left
}

func ExampleDeadLetters_twoInputs() {
	run(func(env *stream.Env) {
		stock := stream.KeyBy(stream.From(env, "stock", slice.Of(3, -1)), func(int) bool { return true })
		sold := stream.KeyBy(stream.From(env, "sold", slice.Of(1, 0)), func(int) bool { return true })
		positive := func(op *stream.Operator[bool, string], what string) func(int) error {
			return func(n int) error {
				if n <= 0 { // before anything is set
					return fmt.Errorf("%d of them", n)
				}
				op.Emit(fmt.Sprint(what, " ", n))
				return nil
			}
		}
		var noStock, noSale stream.Stream[stream.DeadLetter[int]]
		printed(stream.CoProcess(stock, sold, "count", func(op *stream.Operator[bool, string]) (func(int) error, func(int) error) {
			return positive(op, "stock"), positive(op, "sold")
		}, stream.DeadLetters(&noStock), stream.DeadLetters(&noSale)))
		stream.ForEach(noStock, "no stock", func(d stream.DeadLetter[int]) { fmt.Println("no stock:", d.Error) })
		stream.ForEach(noSale, "no sale", func(d stream.DeadLetter[int]) { fmt.Println("no sale:", d.Error) })
	})
	// Unordered output:
	// stock 3
	// sold 1
	// no stock: -1 of them
	// no sale: 0 of them
}

func ExampleTTL() {
	run(func(env *stream.Env) {
		byName := stream.KeyBy(stream.From(env, "names", slice.Of("a", "b", "a")), func(s string) string { return s })
		first := stream.Process(byName, "first", func(op *stream.Operator[string, string]) func(string) error {
			seen := stream.NewValue[bool](op, "seen", stream.TTL(24*time.Hour))
			return func(name string) error {
				if _, ok := seen.Get(); !ok {
					op.Emit(name)
				}
				seen.Set(true)
				return nil
			}
		})
		printed(first)
	})
	// Output:
	// a
	// b
}

func ExampleNewReducing() {
	run(func(env *stream.Env) {
		byParity := stream.KeyBy(stream.From(env, "numbers", slice.Of(3, 4, 9, 2)), func(n int) bool { return n%2 == 0 })
		highest := stream.Process(byParity, "highest", func(op *stream.Operator[bool, int]) func(int) error {
			top := stream.NewReducing(op, "top", func(a, b int) int { return max(a, b) })
			return func(n int) error {
				top.Add(n)
				now, _ := top.Get()
				op.Emit(now)
				return nil
			}
		})
		printed(highest)
	})
	// Output:
	// 3
	// 4
	// 9
	// 4
}
