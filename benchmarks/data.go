package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/perennial-io/perennial/connector/discard"
	"github.com/perennial-io/perennial/connector/file"
	"github.com/perennial-io/perennial/connector/generator"
	"github.com/perennial-io/perennial/stream"
)

// event is a record of 56 bytes.
type event struct{ ID, Key, Value, A, B, C, D uint64 }

func makeEvent(i uint64) event {
	return event{ID: i, Key: mix(i), Value: i & 1023, A: i + 1, B: i + 2, C: i + 3, D: i + 4}
}

// mix spreads the bits of i (the finaliser of SplitMix64).
func mix(i uint64) uint64 {
	i = (i ^ i>>30) * 0xbf58476d1ce4e5b9
	i = (i ^ i>>27) * 0x94d049bb133111eb
	return i ^ i>>31
}

func addOne(e event) event { e.Value++; return e }
func keep(e event) bool    { return e.Key&7 != 0 }
func fold(e event) event   { e.A += e.Value; return e }

func fillEvent(i uint64, e *event) {
	e.ID, e.Key, e.Value, e.A, e.B, e.C, e.D = i, mix(i), i&1023, i+1, i+2, i+3, i+4
}
func addOneHere(e *event)    { e.Value++ }
func keepHere(e *event) bool { return e.Key&7 != 0 }
func foldHere(e *event)      { e.A += e.Value }

// work is one figure: the same work by hand and by a job.
type work struct {
	name    string
	records uint64
	goal    string
	loop    func(n uint64) // nil: there is nothing to compare with
	job     func(ctx context.Context, n uint64) (sample, error)
}

// sample is what one run cost, in all processes that took part.
type sample struct {
	cpu     time.Duration
	mallocs uint64
}

func dataPath(ctx context.Context, o options, r *report) error {
	all, err := works()
	if err != nil {
		return err
	}
	r.table(fmt.Sprintf("Data path: million records per CPU-second of all processes, generation included; medians of %d runs, loop and job in turn", o.runs),
		"work", "by hand", "job", "job / by hand", "mallocs per record", "to reach")
	for _, w := range all {
		if err := w.measure(ctx, o.runs, r); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return nil
}

func (w work) measure(ctx context.Context, runs int, r *report) error {
	var byHand, byJob, ratios, mallocs []float64
	for i := range runs + 1 {
		var loop float64
		if w.loop != nil {
			s := sampled(func() { w.loop(w.records) })
			loop = w.rate(s)
		}
		s, err := w.job(ctx, w.records)
		if err != nil {
			return err
		}
		if i == 0 {
			continue // to warm up
		}
		byHand = append(byHand, loop)
		byJob = append(byJob, w.rate(s))
		ratios = append(ratios, w.rate(s)/max(loop, 1e-9))
		mallocs = append(mallocs, float64(s.mallocs)/float64(w.records))
	}
	hand, ratio := "–", "–"
	if w.loop != nil {
		hand, ratio = fmt.Sprintf("%.1f", quantile(byHand, 0.5)), fmt.Sprintf("%.2f", quantile(ratios, 0.5))
	}
	r.row(w.name, hand, fmt.Sprintf("%.1f", quantile(byJob, 0.5)), ratio, fmt.Sprintf("%.5f", quantile(mallocs, 0.5)), w.goal)
	return nil
}

// rate is in million records per CPU-second.
func (w work) rate(s sample) float64 { return float64(w.records) / s.cpu.Seconds() / 1e6 }

// sampled measures f in this process.
func sampled(f func()) sample {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := cpuTime()
	f()
	cpu := cpuTime() - start
	runtime.ReadMemStats(&after)
	return sample{cpu: cpu, mallocs: after.Mallocs - before.Mallocs}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// inProcess runs a job with all its subtasks here.
func inProcess(build func(env *stream.Env, n uint64), args ...string) func(context.Context, uint64) (sample, error) {
	return func(ctx context.Context, n uint64) (sample, error) {
		var err error
		s := sampled(func() {
			err = stream.Run(ctx, "benchmark", args, func(env *stream.Env) { build(env, n) })
		})
		return s, err
	}
}

// Checksum keeps the compiler from leaving the loops' work out.
var Checksum uint64

func works() ([]work, error) {
	dir, err := librarySource()
	if err != nil {
		return nil, err
	}
	words, err := countWords(dir)
	if err != nil {
		return nil, err
	}
	return []work{
		{"map–filter–map of 56-byte records, fused, parallelism 1, in place (Modify, Retain, Modify)", 100_000_000, "≥ 0.35, about 100 M/s", chainLoop, inProcess(chainByModify)},
		{"the same by value (Map, Filter, Map)", 100_000_000, "–", chainLoop, inProcess(chainByMap)},
		{"keyed count of 1 M keys, parallelism 2", 40_000_000, "≥ 0.4", countLoop, inProcess(keyedCount, "-p", "2")},
		{"words of Go's library source, parallelism 2", words, "≥ 0.4",
			func(uint64) { _, _ = countWords(dir) },
			inProcess(func(env *stream.Env, _ uint64) { wordCount(env, dir) }, "-p", "2")},
		{"keyed exchange of 56-byte records, two subtasks in one process", 60_000_000, "≥ 20 M/s", nil, inProcess(exchange, "-p", "2")},
		{"keyed exchange of 56-byte records over TCP, two processes", 30_000_000, "≥ 10 M/s", nil, overTCP},
	}, nil
}

// chainLoop changes one record in place, which in Go is several times faster than to hand such
// wide ones on by value.
func chainLoop(n uint64) {
	var e event
	for i := range n {
		fillEvent(i, &e)
		addOneHere(&e)
		if e.Key&7 != 0 {
			foldHere(&e)
			Checksum += e.A
		}
	}
}

func chainByMap(env *stream.Env, n uint64) {
	s := stream.From(env, "source", generator.Count(n, makeEvent))
	s = stream.Map(stream.Filter(stream.Map(s, "one", addOne), "keep", keep), "fold", fold)
	stream.To(s, "discard", discard.All[event]())
}

func chainByModify(env *stream.Env, n uint64) {
	s := stream.From(env, "source", generator.Fill(n, fillEvent))
	s = stream.Modify(stream.Retain(stream.Modify(s, "one", addOneHere), "keep", keepHere), "fold", foldHere)
	stream.To(s, "discard", discard.All[event]())
}

const keys = 1_000_000

func countLoop(n uint64) {
	counts := make(map[uint64]uint64, keys)
	for i := range n {
		counts[mix(i)%keys]++
	}
	Checksum += uint64(len(counts))
}

func increment[T any](n *uint64, _ T)    { *n++ }
func second[K any](_ K, n uint64) uint64 { return n }
func same[T any](v T) T                  { return v }

func keyedCount(env *stream.Env, n uint64) {
	s := stream.From(env, "source", generator.Count(n, func(i uint64) uint64 { return mix(i) % keys }))
	counts := stream.Aggregate(stream.KeyBy(s, same[uint64]), "count", increment[uint64], second[uint64])
	stream.To(counts, "discard", discard.All[uint64]())
}

func exchange(env *stream.Env, n uint64) {
	s := stream.From(env, "source", generator.Count(n, makeEvent))
	sums := stream.Aggregate(stream.KeyBy(s, func(e event) uint64 { return e.Key & 63 }), "sum",
		func(sum *uint64, e event) { *sum += e.Value }, second[uint64])
	stream.To(sums, "discard", discard.All[uint64]())
}

func librarySource() (string, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("find Go's source: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(root)), "src"), nil
}

// countWords is the word count by hand: one thread, one map, whole files. A counter behind a
// pointer saves the copy of the word that an assignment to the map would make.
func countWords(dir string) (uint64, error) {
	counts := map[string]*uint64{}
	var total uint64
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !strings.HasSuffix(path, ".go") {
			return err
		}
		data, err := os.ReadFile(path)
		for begin, i := 0, 0; i <= len(data); i++ {
			if i < len(data) && letter(data[i]) {
				continue
			}
			if i > begin {
				n := counts[string(data[begin:i])]
				if n == nil {
					n = new(uint64)
					counts[string(data[begin:i])] = n
				}
				*n++
				total++
			}
			begin = i + 1
		}
		return err
	})
	return total, err
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func wordCount(env *stream.Env, dir string) {
	lines := stream.From(env, "lines", file.Lines(dir, file.Match("*.go")))
	words := stream.FlatMap(lines, "words", func(line string, emit func(string)) {
		begin := 0
		for i := range len(line) {
			if letter(line[i]) {
				continue
			}
			if i > begin {
				emit(line[begin:i])
			}
			begin = i + 1
		}
		if begin < len(line) {
			emit(line[begin:])
		}
	})
	counts := stream.Aggregate(stream.KeyBy(words, same[string]), "count", increment[string], second[string])
	stream.To(counts, "discard", discard.All[uint64]())
}
