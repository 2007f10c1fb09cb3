//go:build !linux

package chaos

import "errors"

func small(dir, size string) (release func() error, err error) {
	return nil, errors.New("it can be only on Linux")
}
