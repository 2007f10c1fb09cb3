package checkpoint

import "time"

// Schedule says when checkpoints are taken. The times that it is given may be another leader's,
// and clocks jump: no difference between two clocks keeps it from going on.
type Schedule struct {
	Interval time.Duration // from one reservation to the next; above zero
	MinPause time.Duration // from the end of one to the next reservation
	Timeout  time.Duration // from reservation to abort; 0: none
}

// Due is when the next checkpoint is to be reserved, given when the last one was reserved and when
// it was completed or aborted. A zero time counts for nothing; with two of them a checkpoint
// is due an interval from now, so the caller asks once and remembers, or gives the attempt's start.
func (s Schedule) Due(now, reserved, closed time.Time) time.Time {
	if reserved.IsZero() && closed.IsZero() {
		return now.Add(s.Interval)
	}
	most := max(s.Interval, s.MinPause)
	due := after(now, reserved, s.Interval, most)
	if paused := after(now, closed, s.MinPause, most); paused.After(due) {
		due = paused
	}
	return due
}

// after is t+wait, and at most a whole wait from now. What lies further ahead than any wait was
// not told by this clock: it is then over, not put off at every look until that time has come.
func after(now, t time.Time, wait, most time.Duration) time.Time {
	switch latest := now.Add(wait); {
	case t.IsZero():
		return t
	case t.After(now.Add(most)):
		return now
	case t.After(now):
		return latest
	default:
		return t.Add(wait)
	}
}

// Expired says whether an open checkpoint has taken too long. One reserved further ahead of now
// than the timeout was reserved by another clock, and has expired.
func (s Schedule) Expired(now, reserved time.Time) bool {
	age := now.Sub(reserved)
	return s.Timeout > 0 && (age >= s.Timeout || age < -s.Timeout)
}
