package zksession

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/go-zookeeper/zk"
)

// credentials reads user:password of the file, nil if there is to be none.
func (c Config) credentials() ([]byte, error) {
	if c.AuthFile == "" {
		return nil, nil
	}
	text, err := os.ReadFile(c.AuthFile)
	if err != nil {
		return nil, fmt.Errorf("zookeeper: who to be for the ensemble: %w", err)
	}
	line := strings.TrimRight(string(text), "\r\n")
	user, password, ok := strings.Cut(line, ":")
	if !ok || user == "" || password == "" || strings.ContainsAny(line, "\r\n") {
		return nil, fmt.Errorf("zookeeper: %s: expected one line, user:password", c.AuthFile) // and no word of what is in it
	}
	if info, err := os.Stat(c.AuthFile); err == nil && info.Mode().Perm()&0o004 != 0 {
		c.Logger.Warn("zookeeper: a file with a password can be read by every user of this host: chmod o-r takes that away", "file", c.AuthFile)
	}
	return []byte(line), nil
}

// authenticate tells the ensemble who this process is, before any other call. The library tells
// it again on each later connection.
func (s *Session) authenticate(ctx context.Context, credentials []byte) error {
	if credentials == nil {
		return nil
	}
	_, err := read(ctx, s, func(c *zk.Conn) (struct{}, error) { return struct{}{}, c.AddAuth("digest", credentials) })
	if err != nil {
		return fmt.Errorf("authenticate: %w", err)
	}
	return nil
}

// sessionClosed is how the library words what a server answers before it closes a session that has
// not authenticated itself in the way that the server insists on; it knows no name for it.
const sessionClosed = "unknown error: -124"

// explain says to a person what an error of access control means, or "".
func (s *Session) explain(err error) string {
	file := s.prefix + "auth.file"
	switch {
	case errors.Is(err, zk.ErrAuthFailed):
		return "the ensemble does not take what " + file + " says: is its digest scheme switched off?"
	case errors.Is(err, zk.ErrNoAuth) && s.authenticated:
		return "the node belongs to another user than the one of " + file + ", or its password is another"
	case errors.Is(err, zk.ErrNoAuth):
		return "the node belongs to somebody, and this process has not authenticated itself: set " + file + " to that user's user:password, or use that user's certificate"
	case err.Error() == sessionClosed && s.authenticated:
		return "the ensemble insists on another authentication than " + file + "'s digest (its enforce.auth.schemes, or SASL, which is not supported)"
	case err.Error() == sessionClosed:
		return "the ensemble insists on authentication, and none was given: set " + file
	}
	return ""
}
