package operator

import (
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/state"
)

// ReadingState is the state of a reading whose splits come from an enumerator, or, if they are not
// shared, of one that has the one split that is S's zero value.
func ReadingState[S any](shared bool) job.StateType {
	kind := job.PositionState
	if shared {
		kind = job.SplitsState
	}
	return state.TypeOf[left[S]](sourceState, kind)
}

// ListingState is the state of what lists a source's splits.
func ListingState[S any]() job.StateType {
	return state.TypeOf[progress[S]](sourceState, job.PositionState)
}

// DiscoveryState is the state of what discovers a source's splits.
func DiscoveryState() job.StateType { return state.TypeOf[discovered](sourceState, job.PositionState) }

// AggregateState is the state of Aggregate.
func AggregateState[K comparable, A any]() job.StateType {
	return state.TypeOf[state.Entry[K, A]](accumulators, job.ValueState)
}
