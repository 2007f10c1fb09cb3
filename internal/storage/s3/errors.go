package s3

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/minio/minio-go/v7"
)

// conditionalConflict is the code of a conditional request that met another one for the same object.
const conditionalConflict = "ConditionalRequestConflict"

// code is S3's word for what an answer says, "" if err is none.
func code(err error) string {
	if answer, ok := errors.AsType[minio.ErrorResponse](err); ok {
		return answer.Code
	}
	return ""
}

// status is the HTTP status of an answer, 0 if err is none.
func status(err error) int {
	answer, _ := errors.AsType[minio.ErrorResponse](err)
	return answer.StatusCode
}

// failure is what the caller is told of err: why its own ctx has ended, if it has, or that time is over, or
// what the server said.
func (s *Store) failure(ctx, bounded context.Context, what, key string, err error) error {
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case bounded.Err() != nil:
		err = context.Cause(bounded)
	case code(err) == minio.NoSuchKey:
		err = fs.ErrNotExist
	}
	return fmt.Errorf("%s %s in bucket %s at %s: %w", what, key, s.cfg.Bucket, s.client.EndpointURL(), err)
}
