//go:build !linux

package main

import "errors"

func small(string) (release func() error, err error) {
	return nil, errors.New("it can be only on Linux")
}
