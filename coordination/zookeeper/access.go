package zookeeper

import (
	"errors"
	"fmt"

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
