package client

import (
	"fmt"
	"strings"
)

// fewNamed is how many of the jobs that an abbreviation could mean are named.
const fewNamed = 4

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
	named := found[:min(len(found), fewNamed)]
	more := ""
	if len(found) > len(named) {
		more = ", …"
	}
	return "", &Error{Status: 400, Code: "bad-request", Message: fmt.Sprintf("%q could be any of %d jobs (%s%s); give more of the id, and its end tells more than its beginning",
		part, len(found), strings.Join(named, ", "), more)}
}
