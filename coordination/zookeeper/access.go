package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/go-zookeeper/zk"
)

// ACL says who may use the nodes that are made.
type ACL string

// The ACLs. With ACLCreator the nodes above a cluster's are readable by everybody, who may also
// make nodes beside it, so that clusters of several users can share them.
const (
	ACLOpen    ACL = "open"    // everybody may do everything
	ACLCreator ACL = "creator" // what made a node may do everything with it, others nothing
)

// own is the list for a cluster's nodes.
func (a ACL) own() []zk.ACL {
	if a == ACLCreator {
		return zk.AuthACL(zk.PermAll) // ZooKeeper replaces it by all that the connection has proved to be
	}
	return zk.WorldACL(zk.PermAll)
}

// shared is the list for the nodes above a cluster's.
func (a ACL) shared() []zk.ACL {
	if a == ACLCreator {
		return append(zk.AuthACL(zk.PermAll), zk.WorldACL(zk.PermRead|zk.PermCreate)...)
	}
	return zk.WorldACL(zk.PermAll)
}

// changeable reports whether everybody may change a node with this list, or delete what is in it.
func changeable(acl []zk.ACL) bool {
	for _, a := range acl {
		if a.Scheme == "world" && a.Perms&(zk.PermWrite|zk.PermDelete|zk.PermAdmin) != 0 {
			return true
		}
	}
	return false
}

func (c Config) checkAccess() error {
	switch c.ACL {
	case ACLOpen:
		return nil
	case ACLCreator:
		if c.AuthFile == "" && (c.TLS == nil || c.TLS.Certificate == "") {
			return errors.New("zookeeper: the ACL is creator, and there is nothing by which the ensemble could know this process again: set zookeeper.auth.file, or a client certificate")
		}
		return nil
	}
	return fmt.Errorf("zookeeper: the ACL is %q: expected open or creator", c.ACL)
}

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
func (s *session) authenticate(ctx context.Context, credentials []byte) error {
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
func (s *session) explain(err error) string {
	switch {
	case errors.Is(err, zk.ErrAuthFailed):
		return "the ensemble does not take what zookeeper.auth.file says: is its digest scheme switched off?"
	case errors.Is(err, zk.ErrNoAuth) && s.authenticated:
		return "the node belongs to another user than the one of zookeeper.auth.file, or its password is another"
	case errors.Is(err, zk.ErrNoAuth):
		return "the node belongs to somebody, and this process has not authenticated itself: set zookeeper.auth.file to that user's user:password, or use that user's certificate"
	case err.Error() == sessionClosed && s.authenticated:
		return "the ensemble insists on another authentication than zookeeper.auth.file's digest (its enforce.auth.schemes, or SASL, which is not supported)"
	case err.Error() == sessionClosed:
		return "the ensemble insists on authentication, and none was given: set zookeeper.auth.file"
	}
	return ""
}
