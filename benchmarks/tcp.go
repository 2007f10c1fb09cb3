package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/shuffle"
)

// receiverRole makes this binary the consuming process of overTCP.
const receiverRole = "PERENNIAL_BENCHMARK_RECEIVER"

// The exchange has two subtasks at each side, every channel between two processes.
const (
	sides       = 2
	exchangeJob = job.ID("00000000000000000000000000000001")
	attempt     = job.Attempt(1)
)

func channel(from, to int) shuffle.Channel {
	return shuffle.Channel{Job: exchangeJob, From: from, To: to, Attempt: attempt}
}

// overTCP sends n records by key to another process, which counts them.
func overTCP(ctx context.Context, n uint64) (sample, error) {
	self, err := os.Executable()
	if err != nil {
		return sample{}, err
	}
	child := exec.CommandContext(ctx, self)
	child.Env = append(os.Environ(), receiverRole+"=1")
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		return sample{}, err
	}
	hold, err := child.StdinPipe() // open until everything is acknowledged
	if err != nil {
		return sample{}, err
	}
	if err := child.Start(); err != nil {
		return sample{}, err
	}
	lines := bufio.NewReader(out)
	address, err := lines.ReadString('\n')
	if err != nil {
		return sample{}, errors.Join(err, child.Wait())
	}
	var sendErr error
	s := sampled(func() { sendErr = send(ctx, strings.TrimSpace(address), n) })
	var got received
	err = json.NewDecoder(lines).Decode(&got)
	hold.Close()
	if err = errors.Join(sendErr, err, child.Wait()); err != nil {
		return sample{}, err
	}
	if got.Records != n {
		return sample{}, fmt.Errorf("%d of %d records arrived", got.Records, n)
	}
	used := child.ProcessState
	s.cpu += used.UserTime() + used.SystemTime()
	s.mallocs += got.Mallocs
	return s, nil
}

func send(ctx context.Context, address string, n uint64) error {
	x := shuffle.NewExchange(shuffle.Config{Job: exchangeJob, Attempt: attempt})
	defer x.Close()
	errs := make([]error, sides)
	var all sync.WaitGroup
	for from := range sides {
		all.Go(func() { errs[from] = produce(ctx, x, from, address, n/sides) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func produce(ctx context.Context, x *shuffle.Exchange, from int, address string, n uint64) error {
	codec, err := record.CodecOf[event]()
	if err != nil {
		return err
	}
	hash, err := record.HasherOf[uint64]()
	if err != nil {
		return err
	}
	var outs []shuffle.Output[event]
	for to := range sides {
		o, err := shuffle.RemoteOutput(x, channel(from, to), address, codec)
		if err != nil {
			return err
		}
		outs = append(outs, o)
	}
	w := shuffle.NewWriter(shuffle.HashBy(func(e event) uint64 { return e.Key }, hash, 256), outs, shuffle.WriterConfig{Context: ctx})
	batch := make([]event, record.BatchSize[event]())
	for i := uint64(0); i < n; i += uint64(len(batch)) {
		batch = batch[:min(uint64(cap(batch)), n-i)]
		for k := range batch {
			batch[k] = makeEvent(i + uint64(k))
		}
		if err := w.Batch(batch); err != nil {
			return err
		}
	}
	return errors.Join(w.End(), w.Drain())
}

// received is what the consuming process tells at its end.
type received struct{ Records, Mallocs uint64 }

func receive() {
	if err := receiveAll(); err != nil {
		fmt.Fprintln(os.Stderr, "receiver:", err)
		os.Exit(1)
	}
}

func receiveAll() error {
	codec, err := record.CodecOf[event]()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	x := shuffle.NewExchange(shuffle.Config{Job: exchangeJob, Attempt: attempt})
	gates := make([]*shuffle.Gate[event], sides)
	for to := range gates {
		gates[to] = shuffle.NewGate(sides, codec)
		for from := range sides {
			shuffle.BindInput(x, channel(from, to), gates[to], from)
		}
	}
	fmt.Println(l.Addr())
	c, err := l.Accept()
	if err != nil {
		return err
	}
	if _, err := shuffle.ReadPreamble(c); err != nil {
		return err
	}
	x.Accept(c)
	counts := make([]uint64, sides)
	errs := make([]error, sides)
	s := sampled(func() {
		var all sync.WaitGroup
		for i, g := range gates {
			all.Go(func() { counts[i], errs[i] = consume(g) })
		}
		all.Wait()
	})
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(received{counts[0] + counts[1], s.mallocs}); err != nil {
		return err
	}
	buf := make([]byte, 1)
	_, _ = os.Stdin.Read(buf) // the peer closes its end once everything is acknowledged
	return nil
}

func consume(g *shuffle.Gate[event]) (n uint64, err error) {
	for ended := 0; ended < sides; {
		item := <-g.Items()
		if item.Event().Kind == record.End {
			ended++
		}
		records, err := item.Records()
		if err != nil {
			return n, err
		}
		n += uint64(len(records))
		item.Release()
	}
	return n, nil
}
