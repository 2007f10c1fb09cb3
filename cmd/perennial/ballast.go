package main

import (
	"fmt"
	"os"
	"strconv"
)

// ballastVariable is for benchmarks of takeovers: a JobManager holds so many MiB of memory for no purpose but to be slow to
// die, as the kernel frees memory before it closes connections.
const ballastVariable = "PERENNIAL_BALLAST_MIB"

var ballast []byte

func takeBallast() error {
	text := os.Getenv(ballastVariable)
	if text == "" {
		return nil
	}
	mib, err := strconv.Atoi(text)
	if err != nil || mib < 0 {
		return fmt.Errorf("%s is %q: expected a number of MiB", ballastVariable, text)
	}
	ballast = make([]byte, mib<<20)
	for i := 0; i < len(ballast); i += 4096 {
		ballast[i] = 1 // else it is not resident
	}
	return nil
}
