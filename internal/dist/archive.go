package main

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"time"
)

// file is one of the archive: its name there, with slashes, and where it is read from.
type file struct{ name, from string }

// writeArchive writes files and their directories below top. Of a file's mode only that it is a
// program counts: the rest depends on who checked it out.
func writeArchive(name, top string, date time.Time, files []file) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	zip, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(zip)
	files = slices.SortedFunc(slices.Values(files), func(a, b file) int { return cmp.Compare(a.name, b.name) })
	made := map[string]bool{}
	for _, entry := range files {
		for _, dir := range parents(path.Join(top, entry.name)) {
			if made[dir] {
				continue
			}
			made[dir] = true
			if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: date, Format: tar.FormatPAX}); err != nil {
				return err
			}
		}
		if err := writeFile(archive, path.Join(top, entry.name), entry.from, date); err != nil {
			return fmt.Errorf("pack %s: %w", entry.from, err)
		}
	}
	return errors.Join(archive.Close(), zip.Close())
}

// parents is every directory above a name, the highest first.
func parents(name string) []string {
	var all []string
	for i := range name {
		if name[i] == '/' {
			all = append(all, name[:i])
		}
	}
	return all
}

func writeFile(archive *tar.Writer, name, from string, date time.Time) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	mode := int64(0o644)
	if info.Mode()&0o100 != 0 {
		mode = 0o755
	}
	if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: info.Size(), ModTime: date, Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err = io.Copy(archive, f)
	return err
}
