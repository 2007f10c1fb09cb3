package storage

import (
	"context"
	"fmt"
)

// importName is where metadata wait for a coordination that is empty.
const importName = "import"

// PutImport leaves an export of the cluster's metadata for JobManagers that start on an empty coordination.
// It reports false when one waits already, and says where.
func (s *Storage) PutImport(ctx context.Context, file []byte) (created bool, location string, err error) {
	created, err = s.createBytes(ctx, clusterDir, importName, file)
	return created, below(s.location, clusterDir+"/"+importName), err
}

// Import reads what PutImport left, or fails with ErrNotFound.
func (s *Storage) Import(ctx context.Context) ([]byte, error) {
	return s.read(ctx, clusterDir, importName)
}

// DeleteImport takes it away, once it is in force.
func (s *Storage) DeleteImport(ctx context.Context) error {
	if err := s.objects.Delete(ctx, clusterDir+"/"+importName); err != nil {
		return fmt.Errorf("delete %s/%s: %w", clusterDir, importName, err)
	}
	return nil
}

// PutExport keeps the last export of a coordination, of this epoch, beside the answer that may be lost, and says where.
func (s *Storage) PutExport(ctx context.Context, epoch uint64, file []byte) (location string, err error) {
	name := fmt.Sprintf("export-%d", epoch)
	_, err = s.createBytes(ctx, clusterDir, name, file)
	return below(s.location, clusterDir+"/"+name), err
}
