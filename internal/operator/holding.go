package operator

import "time"

// holding is for how long a subtask's input was held back, by alignments or by readers that catch up: nothing that came in
// that time could be seen.
type holding struct {
	back   bool // it is
	since  time.Time
	before time.Duration // in all, before since
}

// holdBack notes that from now on there may be input that is held back, or that there is none any more.
func (h *holding) holdBack(is bool) {
	switch {
	case is == h.back:
	case is:
		h.since = time.Now()
	default:
		h.before += time.Since(h.since)
	}
	h.back = is
}
