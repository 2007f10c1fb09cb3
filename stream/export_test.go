package stream

import (
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/operator"
)

// PlanOf makes the plan of a job, as a task process does.
func PlanOf(name string, build func(*Env)) func(job.Spec) (*operator.Plan, error) {
	return definition{name, build}.plan
}
