package client

import (
	"fmt"
	"strings"
)

// match finds the one job that part of an id names: its beginning, or its end, which is what
// lists abbreviate it to.
func match(jobs []Summary, part string) (ID, error) {
	var found []string
	for _, j := range jobs {
		if strings.HasPrefix(string(j.ID), part) || strings.HasSuffix(string(j.ID), part) {
			found = append(found, string(j.ID))
		}
	}
	switch len(found) {
	case 0:
		return "", &Error{Status: 404, Code: "not-found", Message: fmt.Sprintf("no job's id starts or ends with %q; list shows them all", part)}
	case 1:
		return ID(found[0]), nil
	}
	return "", &Error{Status: 400, Code: "bad-request", Message: fmt.Sprintf("%q names %d jobs: %s", part, len(found), strings.Join(found, ", "))}
}
