package file

import "github.com/perennial-io/perennial/connector"

// Raw is the sink that writes records as they are, with a line end behind each unless Separator says otherwise, to
// part-<subtask>-<attempt>.txt in dir, which must not hold part files of another job. A record that contains the
// separator is not told from two.
//
// Semantics: exactly-once. Each record becomes visible once: in an unbounded job with the completion of
// the checkpoint after it, in a bounded one when the job has finished. A subtask ends a file at each checkpoint
// (and where RollSize or RollAge says) that has records; the later ones are called part-<subtask>-<attempt>-<sequence>.txt.
//
// A relative dir starts where the job was submitted.
func Raw[T ~string | ~[]byte](dir string, options ...SinkOption) connector.Sink[T] {
	o := newSinkOptions("txt", options)
	return newSink(dir, "Raw", o, rawEncoder[T](o.separator), nil)
}

// rawEncoder is the separator.
type rawEncoder[T ~string | ~[]byte] string

func (e rawEncoder[T]) header() []byte { return nil }

func (e rawEncoder[T]) appendRecords(dst []byte, records []T) ([]byte, error) {
	for i := range records {
		dst = append(dst, records[i]...)
		dst = append(dst, e...)
	}
	return dst, nil
}
