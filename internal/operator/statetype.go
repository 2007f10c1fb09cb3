package operator

import (
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
)

// ReadingState is the state of a reading whose splits come from an enumerator, or, if they are not
// shared, of one that has the one split that is S's zero value.
func ReadingState[S any](shared bool) job.StateType {
	kind := job.PositionState
	if shared {
		kind = job.SplitsState
	}
	return stateType[left[S]](sourceState, kind)
}

// ListingState is the state of what lists a source's splits.
func ListingState[S any]() job.StateType {
	return stateType[progress[S]](sourceState, job.PositionState)
}

// DiscoveryState is the state of what discovers a source's splits.
func DiscoveryState() job.StateType { return stateType[discovered](sourceState, job.PositionState) }

// AggregateState is the state of Aggregate.
func AggregateState[K comparable, A any]() job.StateType {
	return stateType[entry[K, A]](accumulators, job.ValueState)
}

// stateType describes a state; whoever keeps one of a type without a codec fails when it is wired.
func stateType[T any](name string, kind job.StateKind) job.StateType {
	t := job.StateType{Name: name, Kind: kind}
	if codec, err := record.CodecOf[T](); err == nil {
		t.Schema = codec.Schema()
	}
	return t
}
