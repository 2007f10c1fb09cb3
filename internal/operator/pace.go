package operator

import (
	"math"
	"time"
)

// pace keeps a subtask at a rate: each record costs a time, and what was not used for up to a
// second may be caught up with.
type pace struct {
	cost  time.Duration // per record; 0: no limit
	most  int           // records at once: about 10 ms worth, at most a batch
	next  time.Time     // when the next record is due
	early bool          // the last allowance was 0
}

const (
	paceStep  = 10 * time.Millisecond
	paceBurst = time.Second
)

func newPace(rate float64, batch int) pace {
	if rate <= 0 {
		return pace{most: batch}
	}
	most := int(math.Ceil(rate * paceStep.Seconds()))
	return pace{cost: time.Duration(float64(time.Second) / rate), most: min(most, batch)}
}

// allowance returns how many records may be read now.
func (p *pace) allowance() int {
	if p.cost == 0 {
		return p.most
	}
	now := time.Now()
	if earliest := now.Add(-paceBurst); p.next.Before(earliest) {
		if p.next.IsZero() {
			earliest = now
		}
		p.next = earliest
	}
	if p.early = p.next.After(now); p.early {
		return 0
	}
	return p.most
}

func (p *pace) spend(records int) { p.next = p.next.Add(time.Duration(records) * p.cost) }

func (p *pace) wakeAt() time.Time {
	if !p.early {
		return time.Time{}
	}
	return p.next
}
