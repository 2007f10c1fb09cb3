//go:build !linux || !amd64

package keeper

func start(func()) (stop func(), err error) { return nil, ErrUnsupported }
