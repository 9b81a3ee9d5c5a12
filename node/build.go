package node

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"shoal/chunker"
	"shoal/node/api"
	"shoal/node/store"
)

// hiddenNames is the pattern that ShareRequest.NoHidden stands for.
const hiddenNames = ".*"

// Excludes are the patterns of the names that req leaves out, checked.
func Excludes(req api.ShareRequest) ([]string, error) {
	patterns := append([]string(nil), req.Exclude...)
	if req.NoHidden {
		patterns = append(patterns, hiddenNames)
	}
	if _, err := chunker.ParseIgnore(patterns...); err != nil {
		return nil, api.Errorf(api.Invalid, "exclude: %w", err).WithHint("Patterns are those of a .gitignore file: *.tmp, build/, /notes/*.txt")
	}
	return patterns, nil
}

// BuildConfig is how path is built into a share, and its CID is told, by a node with this home. The names that patterns fit are left out,
// and so is every directory that is the home of a shoal node, since it holds a private key. Nothing inside of one
// can be shared either.
func BuildConfig(home, path string, patterns []string) (chunker.Config, error) {
	ignore, err := chunker.ParseIgnore(patterns...)
	if err == nil {
		err = outsideHomes(path)
	}
	return chunker.Config{Exclude: []string{home}, Ignore: ignore, Refuse: refuser()}, err
}

// ErrSystem: a directory on a file system that holds no files, but shows what the system has, as /proc.
var ErrSystem = errors.New("left out: it shows what the system has, and holds no files")

// refuser makes chunker.Config.Refuse: homes of nodes and ErrSystem.
func refuser() func(dir string, entries []fs.DirEntry) error {
	system := systemMounts()
	return func(dir string, entries []fs.DirEntry) error {
		if len(system) > 0 {
			if fi, err := chunker.LstatPath(dir); err == nil {
				if kind, is := system[chunker.StatOf(fi).Device]; is {
					return fmt.Errorf("%w (%s)", ErrSystem, kind)
				}
			}
		}
		return refuseHome(dir, entries)
	}
}

// refuseHome refuses the home of a node.
func refuseHome(dir string, entries []fs.DirEntry) error {
	for _, e := range entries {
		if e.Name() == store.FormatName && store.IsHome(dir) {
			return fmt.Errorf("%w: %s", chunker.ErrExcluded, dir)
		}
	}
	return nil
}

// outsideHomes refuses a path inside the home of a node.
func outsideHomes(path string) error {
	real, err := filepath.EvalSymlinks(path)
	switch {
	case err == nil:
		path = real
	case !errors.Is(err, syscall.ENAMETOOLONG):
		return nil // who reads it tells
	}
	if fi, err := chunker.StatPath(path); err != nil || !fi.IsDir() {
		path = filepath.Dir(path)
	}
	if home := store.HomeAround(path); home != "" {
		return fmt.Errorf("%w: %s", chunker.ErrExcluded, home)
	}
	return nil
}
