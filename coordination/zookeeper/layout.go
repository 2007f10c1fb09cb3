package zookeeper

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/perennial-io/perennial/coordination"
)

// layout is where a cluster's nodes are, as absolute paths.
type layout struct {
	base, epoch, leader, history, members string
}

// reservedBy returns the node of the contract that path lies at, above or below, or "".
func (l layout) reservedBy(path string) string {
	for _, reserved := range []string{l.epoch, l.leader, l.history, l.members} {
		if reserved != "" && (strings.HasPrefix(path+"/", reserved+"/") || strings.HasPrefix(reserved+"/", path+"/")) {
			return reserved
		}
	}
	return ""
}

// key returns the path of a Term's key, which CheckKey accepts.
func (l layout) key(key string) (string, error) {
	path := l.base + "/" + key
	if reserved := l.reservedBy(path); reserved != "" {
		return "", fmt.Errorf("zookeeper: the key %q overlaps with %s, which is part of the contract itself", key, reserved)
	}
	return path, nil
}

// past returns the path of an epoch's record in the history.
func (l layout) past(e coordination.Epoch) string { return fmt.Sprintf("%s/%d", l.history, e) }

// member returns the path of a member, whose id may be any text but the empty one.
func (l layout) member(id string) (string, error) {
	name := url.PathEscape(id)
	if name == "" || name == "." || name == ".." {
		return "", fmt.Errorf("zookeeper: %q cannot be the id of a member", id)
	}
	return l.members + "/" + name, nil
}

// above lists the nodes above path, from the top.
func above(path string) []string {
	var nodes []string
	for i := 1; i < len(path); i++ {
		if path[i] == '/' {
			nodes = append(nodes, path[:i])
		}
	}
	return nodes
}
