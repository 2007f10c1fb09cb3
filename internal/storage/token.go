package storage

import (
	"context"
	"errors"
	"fmt"
	"regexp"
)

// tokenDir has what processes write to find out whether the others see it.
const tokenDir = "tokens"

var tokenName = regexp.MustCompile(`^[a-z0-9-]{1,80}$`)

// PutToken writes a token, which says nothing but that it is there.
func (s *Storage) PutToken(ctx context.Context, name string) error {
	if !tokenName.MatchString(name) {
		return fmt.Errorf("%w: token %q", ErrName, name)
	}
	_, err := s.createBytes(ctx, tokenDir, name, []byte(name))
	return err
}

// HasToken reports whether a token of this name was written.
func (s *Storage) HasToken(ctx context.Context, name string) (bool, error) {
	if !tokenName.MatchString(name) {
		return false, fmt.Errorf("%w: token %q", ErrName, name)
	}
	b, err := s.read(ctx, tokenDir, name)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil && string(b) == name, err
}

// DeleteToken removes a token, if there is one.
func (s *Storage) DeleteToken(ctx context.Context, name string) error {
	if !tokenName.MatchString(name) {
		return fmt.Errorf("%w: token %q", ErrName, name)
	}
	return s.objects.Delete(ctx, tokenDir+"/"+name)
}
