// Package stream is the API in which a job is written: sources, transformations and sinks,
// connected by typed streams.
//
//	func main() {
//		stream.Main("wordcount", func(env *stream.Env) {
//			lines := stream.From(env, "lines", file.Lines(env.Arg("input")))
//			words := stream.FlatMap(lines, "words", split)
//			count := stream.Aggregate(stream.KeyBy(words, identity), "count", add, result)
//			stream.To(count, "out", file.CSV[WordCount](env.Arg("output")))
//		})
//	}
//
// The verbs are functions, not methods, because a method of Go cannot have type parameters of
// its own. Each builds an operator with a name; the name is how the job's state, progress and
// failures are told apart, so no two operators of a job may share one, and it should stay the
// same when the job is changed.
//
// User functions run in as many subtasks at once as the operator is parallel: one that is given
// to a verb must not change what others of its kind share. A record that was handed on belongs
// to whoever received it. Where an operator has several consumers, each gets its own copy of the
// record, but what it points to (slices, maps, pointers) is shared: change it in none of them.
//
// A function that fails, by an error or a panic, fails the job, unless its operator says what else becomes
// of the record: [OnError] and [DeadLetters].
//
// Building a stream runs nothing and never panics: what is wrong is collected and reported
// together, each line naming its operator. [Main] then runs the job in this process, or, started
// by a cluster, becomes one of its task processes; [Run] runs it in this process and returns.
// The runtime is in internal/task; this package decides only what is to run.
package stream
