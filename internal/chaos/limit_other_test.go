//go:build !linux

package chaos

import "errors"

func limitFiles(int, uint64) error { return errors.New("only Linux limits another process") }
