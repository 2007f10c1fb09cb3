package jobmanager

import (
	"fmt"
	"time"
)

// maxClockOffset is how far the clocks of two hosts may be apart before that is said. Nothing here depends on clocks but
// what is shown to people, and the signatures of requests to S3.
const maxClockOffset = 2 * time.Second

// compareClock tells of a peer whose host's clock is not this one's. A message takes little time to come.
func (jm *JobManager) compareClock(s *session, theirs time.Time) {
	offset := time.Until(theirs).Round(time.Millisecond)
	if theirs.IsZero() || offset.Abs() < maxClockOffset {
		return
	}
	jm.logger().Warn("a host's clock differs from this one's: set both by NTP; times that are shown are not comparable, and S3 refuses requests of the wrong one",
		"of", s.who(), "peer", s.peer(), "clock", theirs, "offset", fmt.Sprint(offset))
}
