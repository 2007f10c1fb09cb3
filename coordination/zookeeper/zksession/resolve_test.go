package zksession

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A session that follows another finds the ensemble though the resolver has gone meanwhile; what nobody has ever known is told.
func TestAddressesOutliveASession(t *testing.T) {
	away := errors.New("no name server answers")
	var gone bool
	of := newNames(func(_ context.Context, host string) ([]string, error) {
		if gone || host == "misspelt" {
			return nil, away
		}
		return []string{"10.0.0.2", "10.0.0.1"}, nil
	})
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	servers := []string{"zk:2181"}
	if err := resolve(t.Context(), servers, of, logger); err != nil {
		t.Fatal(err)
	}
	gone = true
	if err := resolve(t.Context(), servers, of, logger); err != nil {
		t.Errorf("while the resolver is away: %v", err)
	}
	if want := "going on with the addresses that it had"; !strings.Contains(log.String(), want) {
		t.Errorf("the log says nothing of it: %s", log.String())
	}
	if known, err := of.addresses(t.Context(), "zk"); !slices.Equal(known, []string{"10.0.0.1", "10.0.0.2"}) || !errors.Is(err, away) {
		t.Errorf("addresses: %v, %v", known, err)
	}
	if err := resolve(t.Context(), []string{"misspelt:2181"}, of, logger); !errors.Is(err, away) || !strings.Contains(err.Error(), "server misspelt:2181 does not resolve") {
		t.Errorf("a name that nobody knows: %v", err)
	}
}

func TestSystemsNamesAreOfTheProcess(t *testing.T) {
	var one, other Config
	for _, c := range []*Config{&one, &other} {
		var err error
		c.Servers = []string{"zk:2181"}
		if *c, err = c.withDefaults(); err != nil {
			t.Fatal(err)
		}
	}
	if one.names != other.names {
		t.Error("a session does not know what another one of the process has found")
	}
}

// A name server that hangs holds up one name, and that for a bounded time; names beside it are looked up meanwhile.
func TestLookUpIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hanging := newNames(func(ctx context.Context, host string) ([]string, error) {
			if host == "zk3" {
				time.Sleep(time.Second)
				return []string{"10.0.0.3"}, nil
			}
			<-ctx.Done()
			return nil, ctx.Err()
		})
		began := time.Now()
		err := resolve(t.Context(), []string{"zk1:2181", "zk2:2181", "zk3:2181"}, hanging, slog.New(slog.DiscardHandler))
		if took := time.Since(began); err != nil || took != resolvePatience {
			t.Errorf("resolve returned %v after %v, want nil after %v", err, took, resolvePatience)
		}
	})
}
