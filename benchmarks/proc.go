package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of the times in /proc: 100 a second on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// stopped is the state of a process that was sent SIGSTOP.
const stopped = "T"

// procStat is what is wanted of /proc/PID/stat.
type procStat struct {
	state  string
	parent int
	cpu    time.Duration // user and system time, of all threads
}

func statOf(pid int) (procStat, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return procStat{}, err
	}
	// The name, in parentheses, may hold blanks and parentheses; what follows it begins with field 3.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 13 {
		return procStat{}, fmt.Errorf("%s has %d fields after the name", path, len(fields))
	}
	var n [3]int64
	for i, field := range []int{4, 14, 15} { // ppid, utime, stime
		if n[i], err = strconv.ParseInt(fields[field-3], 10, 64); err != nil {
			return procStat{}, fmt.Errorf("%s: %w", path, err)
		}
	}
	return procStat{fields[0], int(n[0]), time.Duration(n[1]+n[2]) * clockTick}, nil
}
