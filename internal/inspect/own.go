package inspect

import (
	"fmt"
	"os"
)

// LogVariable is how a process that is started with a log is told its name. It is believed if it is the name of what
// standard error is.
const LogVariable = "PERENNIAL_LOG_FILE"

// OwnLog answers a Question about the log of this process, which is what its standard error is, if that is a file. If not the
// error says where to look.
func OwnLog(q Question) (Piece, error) {
	path, err := ownLog(os.Stderr, "/proc/self/fd/2")
	if err != nil {
		return Piece{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return Piece{}, err
	}
	defer f.Close()
	return Read(f, q)
}

// ownLog finds the name of the file that stderr is; link is what the system calls it, if it tells.
func ownLog(stderr *os.File, link string) (string, error) {
	what, err := stderr.Stat()
	if err != nil {
		return "", fmt.Errorf("this process has no standard error, and so no log: %w", err)
	}
	linked, _ := os.Readlink(link) // not every system has it
	for _, path := range []string{linked, os.Getenv(LogVariable)} {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && os.SameFile(info, what) {
			return path, nil
		}
	}
	host, err := os.Hostname()
	if err != nil {
		host = "its host"
	}
	switch {
	case os.Getenv("JOURNAL_STREAM") != "":
		return "", fmt.Errorf("process %d on %s logs to systemd's journal: journalctl _PID=%d there shows it", os.Getpid(), host, os.Getpid())
	case what.Mode().IsRegular():
		return "", fmt.Errorf("process %d on %s logs to a file whose name is not known any more: it was removed, or the system does not tell", os.Getpid(), host)
	case what.Mode()&os.ModeCharDevice != 0:
		return "", fmt.Errorf("process %d on %s logs to a terminal or device, and not to a file: start it with bin/*.sh start, or direct its standard error to a file", os.Getpid(), host)
	}
	return "", fmt.Errorf("process %d on %s logs to whoever started it, by a pipe: ask there (a container's: docker logs, kubectl logs)", os.Getpid(), host)
}
