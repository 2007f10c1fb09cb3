package simulator

// Shrink takes faults and jobs away for as long as fails says that what is left fails as well, and returns what is left.
// It tries halves, quarters and so on, in the end each alone, until nothing more can go.
func Shrink(plan Plan, fails func(Plan) bool) Plan {
	for changed := true; changed; {
		changed = false
		for size := max(1, len(plan.Faults)/2); size >= 1; size /= 2 {
			for from := 0; from < len(plan.Faults); {
				less := plan
				less.Faults = without(plan.Faults, from, size)
				if fails(less) {
					plan, changed = less, true
				} else {
					from += size
				}
			}
		}
		for i := 0; i < len(plan.Jobs) && len(plan.Jobs) > 1; {
			less := plan
			less.Jobs = without(plan.Jobs, i, 1)
			if fails(less) {
				plan, changed = less, true
			} else {
				i++
			}
		}
	}
	return plan
}

func without[T any](list []T, from, n int) []T {
	return append(append([]T(nil), list[:from]...), list[min(from+n, len(list)):]...)
}

// Kept tells which faults and jobs of a plan are left in a shrunk one, counted from 1.
func Kept(whole, shrunk Plan) (faults, jobs []int) {
	for i, f := range whole.Faults {
		for _, g := range shrunk.Faults {
			if f == g {
				faults = append(faults, i+1)
				break
			}
		}
	}
	for i, j := range whole.Jobs {
		for _, k := range shrunk.Jobs {
			if j == k {
				jobs = append(jobs, i+1)
			}
		}
	}
	return faults, jobs
}

// Keep leaves only these faults and jobs in a plan; nil: all.
func (p Plan) Keep(faults, jobs []int) Plan {
	p.Faults, p.Jobs = pick(p.Faults, faults), pick(p.Jobs, jobs)
	return p
}

func pick[T any](list []T, which []int) []T {
	if which == nil {
		return list
	}
	var kept []T
	for _, i := range which {
		if i >= 1 && i <= len(list) {
			kept = append(kept, list[i-1])
		}
	}
	return kept
}
