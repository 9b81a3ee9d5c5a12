package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"runtime"

	"shoal/chunker"
)

// This file is about what has no content, and so no row: directories and symlinks. Others get them with the inner nodes, whatever
// lies at a place, so that they matter to the user alone.

// eachBare calls fn with what has no content of a place of a share, directories before what is in them, and where it is to be.
// implied: a file below the directory is wanted, so that the file tells of it.
func (s *Store) eachBare(rec *record, fn func(e chunker.Entry, at string, implied bool) error) error {
	if !rec.tree && rec.files > 0 {
		return nil
	}
	l, err := s.layout(rec)
	if err != nil {
		return err
	}
	entries := l.Entries()
	sel := newSelection(rec.sub, rec.selects)
	sel.follow(entries)
	implied := map[string]bool{}
	for i := len(entries) - 1; i >= 0; i-- {
		if e := entries[i]; e.Path != "" && (e.Kind == chunker.File && sel.want[i] || implied[e.Path]) {
			implied[cleanSub(path.Dir(e.Path))] = true
		}
	}
	for i, e := range entries {
		if !sel.want[i] || e.Kind == chunker.File || e.Kind == chunker.Symlink && runtime.GOOS == "windows" {
			continue
		}
		if err := fn(e, filepath.Join(rec.path(), filepath.FromSlash(sel.rel(e.Path))), implied[e.Path]); err != nil {
			return err
		}
	}
	return nil
}

// hasBare tells whether what has no content is at a place of a share: directories, and symlinks as they were.
func (s *Store) hasBare(rec *record) (bool, error) {
	err := s.eachBare(rec, func(e chunker.Entry, at string, _ bool) error {
		fi, err := chunker.LstatPath(at)
		if err != nil || fi.IsDir() != (e.Kind == chunker.Dir) {
			return errStop
		}
		if target, err := chunker.ReadlinkPath(at); e.Kind == chunker.Symlink && (err != nil || target != e.Target) {
			return errStop
		}
		return nil
	})
	if err == errStop {
		return false, nil
	}
	return err == nil, err
}

// verifyBare adds to sum what has no content and is not at a place of a share as it was. Of a place where names were left out, or
// got others, nothing is told: which ones is not recorded.
func (s *Store) verifyBare(ctx context.Context, rec *record, sum *VerifyReport) error {
	if rec.leftOut != "" || rec.rename {
		return nil
	}
	return s.eachBare(rec, func(e chunker.Entry, at string, implied bool) error {
		if implied {
			return ctx.Err()
		}
		st, why, err := unlike(e, at)
		if err == nil && why != "" {
			name := path.Base(e.Path)
			if e.Path == rec.sub {
				name = filepath.Base(at)
			}
			rel := cleanSub(e.Path[len(rec.sub):])
			sum.Bad = append(sum.Bad, FileReport{Place: rec.path(), Path: rel, Status: st, Reason: name + " " + why})
		}
		return errors.Join(err, ctx.Err())
	})
}

// unlike says how what is at a path differs from a directory or symlink of a share; "": not at all. A directory that was moved
// elsewhere and left a symlink to it is one.
func unlike(e chunker.Entry, at string) (st FileStatus, why string, err error) {
	var fi fs.FileInfo
	if e.Kind == chunker.Dir {
		fi, err = chunker.StatPath(at)
	} else {
		fi, err = chunker.LstatPath(at)
	}
	var target string
	if err == nil && fi.Mode()&fs.ModeSymlink != 0 {
		target, err = chunker.ReadlinkPath(at)
	}
	switch {
	case isTransient(err):
		return 0, "", fmt.Errorf("look at %s: %w", at, err)
	case errors.Is(err, fs.ErrNotExist):
		return FileMissing, "was deleted", nil
	case err != nil:
		return FileMissing, "cannot be looked at: " + bare(err), nil
	case e.Kind == chunker.Dir && !fi.IsDir():
		return FileChanged, "is no directory any more", nil
	case e.Kind == chunker.Symlink && fi.Mode()&fs.ModeSymlink == 0:
		return FileChanged, "is no symlink any more", nil
	case target != e.Target:
		return FileChanged, fmt.Sprintf("leads to %q now, not to %q", target, e.Target), nil
	}
	return 0, "", nil
}
