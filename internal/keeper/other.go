//go:build !linux || !amd64

package keeper

func start() (stop func(), err error) { return nil, ErrUnsupported }
