package storage

import (
	"errors"
	"testing"
)

func TestTokens(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	one, err := Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	other, err := Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		do   func() error
		want bool
	}{
		{func() error { return nil }, false},
		{func() error { return one.PutToken(ctx, "x-1") }, true},
		{func() error { return one.PutToken(ctx, "x-1") }, true},
		{func() error { return other.DeleteToken(ctx, "x-1") }, false},
		{func() error { return one.DeleteToken(ctx, "x-1") }, false},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if has, err := other.HasToken(ctx, "x-1"); has != step.want || err != nil {
			t.Errorf("%v %v, want %v", has, err, step.want)
		}
	}
	if _, err := one.HasToken(ctx, "../cluster/incarnation"); !errors.Is(err, ErrName) || !errors.Is(one.PutToken(ctx, "a/b"), ErrName) || !errors.Is(one.DeleteToken(ctx, ""), ErrName) {
		t.Error("a token has a name that none can have")
	}
}
