package connectortest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/perennial-io/perennial/connector"
	"github.com/perennial-io/perennial/internal/output"
)

// Ledger is a system of transactions in a directory, which several processes may use at once. A transaction is a
// file of JSON lines, and moves from one of three directories to the next: open, prepared, committed.
type Ledger struct{ dir string }

// The directories, and the states of a transaction.
const (
	isOpen      = "open"
	isPrepared  = "prepared"
	isCommitted = "committed"
)

// OpenLedger opens the ledger in dir, and makes it if there is none.
func OpenLedger(dir string) (*Ledger, error) {
	for _, state := range []string{isOpen, isPrepared, isCommitted} {
		if err := os.MkdirAll(filepath.Join(dir, state), 0o777); err != nil {
			return nil, fmt.Errorf("ledger: %w", err)
		}
	}
	return &Ledger{dir}, nil
}

func (l *Ledger) path(state, transaction string) string {
	return filepath.Join(l.dir, state, transaction)
}

// transactions lists the names of those in a state.
func (l *Ledger) transactions(state string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(l.dir, state))
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

// move takes a transaction from one state to the next, durably.
func (l *Ledger) move(transaction, from, to string) error {
	if err := os.Rename(l.path(from, transaction), l.path(to, transaction)); err != nil {
		return err
	}
	return errors.Join(output.SyncDir(filepath.Join(l.dir, to)), output.SyncDir(filepath.Join(l.dir, from)))
}

// Left returns how many transactions are open or prepared.
func (l *Ledger) Left() (int, error) {
	open, err := l.transactions(isOpen)
	prepared, err2 := l.transactions(isPrepared)
	return len(open) + len(prepared), errors.Join(err, err2)
}

// Committed returns the records of all committed transactions.
func Committed[T any](l *Ledger) ([]T, error) {
	names, err := l.transactions(isCommitted)
	if err != nil {
		return nil, err
	}
	var records []T
	for _, name := range names {
		f, err := os.Open(l.path(isCommitted, name))
		if err != nil {
			return nil, fmt.Errorf("ledger: %w", err)
		}
		defer f.Close()
		for lines := json.NewDecoder(bufio.NewReader(f)); lines.More(); {
			var r T
			if err := lines.Decode(&r); err != nil {
				return nil, fmt.Errorf("ledger: transaction %s: %w", name, err)
			}
			records = append(records, r)
		}
	}
	return records, nil
}

// Entries is the sink of a ledger in dir.
//
// Semantics: exactly-once, by a transaction per subtask and checkpoint.
func Entries[T any](dir string) connector.Sink[T] {
	return connector.Transactional(entries[T](dir))
}

type entries[T any] string

func (e entries[T]) Begin(ctx *connector.Context) (connector.TransactionalWriter[T], error) {
	l, err := OpenLedger(ctx.Path(string(e)))
	return &entryWriter[T]{ledger: l, ctx: ctx}, err
}

// entryWriter writes one transaction at a time. Commit and Recover use nothing but the ledger.
type entryWriter[T any] struct {
	ledger  *Ledger
	ctx     *connector.Context
	number  int
	current string   // the name of the present transaction
	file    *os.File // nil: none is begun
}

func (w *entryWriter[T]) Recover(named []connector.Committable) error {
	for _, state := range []string{isOpen, isPrepared} {
		names, err := w.ledger.transactions(state)
		if err != nil {
			return err
		}
		for _, name := range names {
			t, ok := connector.ParseTransaction(name)
			isNamed := slices.ContainsFunc(named, func(c connector.Committable) bool { return string(c) == name })
			if !ok || isNamed || !t.Orphan(w.ctx) {
				continue
			}
			if err := os.Remove(w.ledger.path(state, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("ledger: roll back %s: %w", name, err)
			}
		}
	}
	return nil
}

func (w *entryWriter[T]) Write(records []T) error {
	if len(records) == 0 {
		return nil
	}
	if w.file == nil {
		w.current = connector.NewTransaction(w.ctx, w.number).String()
		w.number++
		file, err := os.OpenFile(w.ledger.path(isOpen, w.current), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if err != nil {
			return fmt.Errorf("ledger: %w", err)
		}
		w.file = file
	}
	to := json.NewEncoder(w.file)
	for _, r := range records {
		if err := to.Encode(r); err != nil {
			return fmt.Errorf("ledger: transaction %s: %w", w.current, err)
		}
	}
	return nil
}

// Flush needs nothing: Write holds nothing back.
func (w *entryWriter[T]) Flush() error { return nil }

func (w *entryWriter[T]) Prepare() (connector.Committable, error) {
	if w.file == nil {
		return nil, nil
	}
	err := errors.Join(w.file.Sync(), w.file.Close())
	w.file = nil
	if err == nil {
		err = w.ledger.move(w.current, isOpen, isPrepared)
	}
	if err != nil {
		return nil, fmt.Errorf("ledger: prepare %s: %w", w.current, err)
	}
	return connector.Committable(w.current), nil
}

func (w *entryWriter[T]) Commit(_ context.Context, c connector.Committable) error {
	name := string(c)
	if _, ok := connector.ParseTransaction(name); !ok {
		return fmt.Errorf("ledger: %q is not a transaction", name)
	}
	err := w.ledger.move(name, isPrepared, isCommitted)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := os.Stat(w.ledger.path(isCommitted, name)); err == nil {
		return nil // by an earlier call, or attempt
	}
	return fmt.Errorf("ledger: %s was rolled back: %w", name, connector.ErrTransactionLost)
}

func (w *entryWriter[T]) Abort() error {
	if w.file == nil {
		return nil
	}
	err := errors.Join(w.file.Close(), os.Remove(w.ledger.path(isOpen, w.current)))
	w.file = nil
	return err
}

func (w *entryWriter[T]) Close() error {
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	return err
}
