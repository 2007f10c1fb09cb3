package coordination

import (
	"fmt"
	"strings"
)

// CheckKey reports what is wrong with key: it is a slash-separated path without a leading
// or trailing slash, without empty parts, "." or "..", in printable characters.
func CheckKey(key string) error {
	for _, part := range strings.Split(key, "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("coordination: %q is no key: expected names separated by single slashes", key)
		}
	}
	for _, r := range key {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return fmt.Errorf("coordination: %q is no key: it has the character %U", key, r)
		}
	}
	return nil
}

// CheckPrefix reports what is wrong with a prefix to list: it is a key and a slash.
func CheckPrefix(prefix string) error {
	key, ok := strings.CutSuffix(prefix, "/")
	if !ok {
		return fmt.Errorf("coordination: the prefix %q does not end with a slash", prefix)
	}
	return CheckKey(key)
}

// CheckSize returns ErrTooLarge, with the size, if n bytes of value are too many.
func CheckSize(what string, n int) error {
	if n > MaxValue {
		return fmt.Errorf("%w: %s has %d bytes, at most %d are allowed: keep the bytes in storage and a pointer here", ErrTooLarge, what, n, MaxValue)
	}
	return nil
}

// CheckOps reports what makes a commit impossible whatever the versions are. Every
// implementation calls it before it sends anything.
func CheckOps(ops []Op) error {
	if len(ops) == 0 {
		return fmt.Errorf("coordination: a commit of nothing: use Check to ask whether the epoch is in force")
	}
	size, seen := 0, make(map[string]bool, len(ops))
	for _, op := range ops {
		if err := CheckKey(op.Key); err != nil {
			return err
		}
		if seen[op.Key] {
			return fmt.Errorf("coordination: a commit names the key %q twice", op.Key)
		}
		seen[op.Key] = true
		if op.Kind < OpCheck || op.Kind > OpDelete {
			return fmt.Errorf("coordination: unknown kind of op %d for the key %q", op.Kind, op.Key)
		}
		size += len(op.Value)
		if err := CheckSize(fmt.Sprintf("the commit of %q", op.Key), size); err != nil {
			return err
		}
	}
	return nil
}
