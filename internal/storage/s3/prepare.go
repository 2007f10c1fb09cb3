package s3

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/minio/minio-go/v7"
	"github.com/perennial-io/perennial/internal/storage/objects"
)

// probe is an object that is stored to see whether it can be. It stays, and is listed nowhere.
const probe = ".probe"

// Prepare makes sure that objects can be stored and are never overwritten, or says what a person has
// to do.
func (s *Store) Prepare(ctx context.Context) error {
	if err := s.haveCredentials(ctx); err != nil {
		return err
	}
	created, err := s.put(ctx, s.key(probe), rand.Text(), nil)
	if err == nil && created {
		if created, err = s.put(ctx, s.key(probe), rand.Text(), nil); err == nil && created {
			return fmt.Errorf("the server at %s overwrites an object although it is told not to (If-None-Match: *): it cannot be used", s.client.EndpointURL())
		}
	}
	return s.advise(ctx, err)
}

func (s *Store) haveCredentials(ctx context.Context) error {
	found, err := s.cfg.Credentials.GetWithContext(s.client.CredContext())
	if err := objects.Ended(ctx); err != nil {
		return err
	}
	if err != nil {
		return fmt.Errorf("credentials: %w; %s", err, setCredentials)
	}
	if found.SignerType.IsAnonymous() || found.AccessKeyID == "" {
		return errors.New("there are no credentials; " + setCredentials)
	}
	return nil
}

const setCredentials = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write ~/.aws/credentials (AWS_PROFILE names a part of it), or give the host a role, for every JobManager and TaskManager"

// advise says what to do about err.
func (s *Store) advise(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	var advice string
	switch answer := code(err); {
	case answer == minio.NoSuchBucket:
		advice = fmt.Sprintf("there is no bucket %s: make it, or name another one", s.cfg.Bucket)
	case status(err) == http.StatusForbidden || status(err) == http.StatusUnauthorized || answer == unknownUser:
		advice = "the server refuses the credentials, or they may not write there; " + setCredentials
	case slices.Contains(elsewhere, answer):
		advice = "set storage.s3.region to the bucket's region"
	case answer == minio.NotImplemented:
		advice = "the server must know conditional writes (If-None-Match: *)"
	case answer == "" || answer == minio.InternalError:
		advice = "is the server up, and storage.s3.endpoint its address?"
	default:
		return err
	}
	return fmt.Errorf("%w; %s", err, advice)
}

// unknownUser is versitygw's word for an access key that it does not know.
const unknownUser = "XAdminUserNotFound"

// elsewhere are the answers of a server that expects another region in a request.
var elsewhere = []string{minio.AuthorizationHeaderMalformed, minio.InvalidRegion, "PermanentRedirect", "IllegalLocationConstraintException"}
