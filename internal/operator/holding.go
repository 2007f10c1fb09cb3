package operator

import "time"

// Waits notes whether the subtask's last step found nothing to do: only then is there no input.
func (w *Wiring) Waits(is bool) { w.waiting = is }

// holding is for how long a subtask's input was held back, by alignments or by readers that catch up: nothing that came in
// that time could be seen.
type holding struct {
	back   bool // it is
	since  time.Time
	before time.Duration // in all, before since
}

// heldBack is for how long in all.
func (h *holding) heldBack() time.Duration {
	if h.back {
		return h.before + time.Since(h.since)
	}
	return h.before
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
