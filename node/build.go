package node

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"shoal/chunker"
	"shoal/node/api"
	"shoal/node/store"
)

// hiddenNames is the pattern that ShareRequest.NoHidden stands for.
const hiddenNames = ".*"

const hintPattern = "Patterns are those of a .gitignore file in what is shared: *.tmp, build/, /notes/*.txt"

// Excludes are the patterns of the names that req leaves out, checked, and read as they are meant.
func Excludes(req api.ShareRequest) ([]string, error) {
	var patterns []string
	for _, p := range req.Exclude {
		read, err := readPattern(req.Path, p)
		if err != nil {
			return nil, err
		}
		patterns = append(patterns, read...)
	}
	if req.NoHidden {
		patterns = append(patterns, hiddenNames)
	}
	if _, err := chunker.ParseIgnore(patterns...); err != nil {
		return nil, api.Errorf(api.Invalid, "exclude: %w", err).WithHint(hintPattern)
	}
	return patterns, nil
}

// readPattern reads one pattern of a request to share path. ./NAME is /NAME, and an absolute path below path is the one from there
// on; where that may be meant both ways, it is both. What can fit nothing is refused.
func readPattern(path, pattern string) ([]string, error) {
	pattern = chunker.TidyPattern(pattern)
	p, keep := strings.CutPrefix(pattern, "!")
	mark := pattern[:len(pattern)-len(p)]
	switch {
	case strings.HasPrefix(pattern, "#"):
		return nil, api.Errorf(api.Invalid, "exclude: the pattern %q is a comment", pattern).WithHint(`A name that starts with # is \#NAME.`)
	case chunker.FitsNothing(p):
		return nil, api.Errorf(api.Invalid, "exclude: the pattern %q fits no name in %s", pattern, path).WithHint(hintPattern)
	case !strings.HasPrefix(p, "/"):
		return []string{pattern}, nil
	}
	first, rest, deep := strings.Cut(p[1:], "/")
	_, err := chunker.LstatPath(filepath.Join(path, first))
	known := err == nil || strings.ContainsAny(first, `*?[{\`)
	if below, ok := patternBelow(path, p); ok {
		if known && !keep {
			return []string{pattern, mark + below}, nil
		}
		return []string{mark + below}, nil
	}
	if _, err := chunker.LstatPath(p); deep && rest != "" && !known && err == nil {
		return nil, api.Errorf(api.Invalid, "exclude: %s is not in %s", p, path).WithHint(hintPattern)
	}
	return []string{pattern}, nil
}

// patternBelow is the pattern p from path on, if p is that of an absolute path below it, by whatever name.
func patternBelow(path, p string) (string, bool) {
	dir, name := filepath.Split(strings.TrimSuffix(p, "/"))
	for _, base := range []string{filepath.Clean(path), realPath(path)} {
		base = strings.TrimSuffix(filepath.ToSlash(base), "/") + "/"
		for _, full := range []string{p, filepath.ToSlash(filepath.Join(realPath(dir), name)) + p[len(strings.TrimSuffix(p, "/")):]} {
			if rest, ok := strings.CutPrefix(full, base); ok && rest != "" && base != "/" {
				return "/" + rest, true
			}
		}
	}
	return "", false
}

// realPath is path without symlinks; as it is where that cannot be told.
func realPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// unmet lists of the patterns of a request those that fitted nothing.
func unmet(given []string, ignore chunker.Ignore) []string {
	idle := ignore.Unmet()
	return slices.DeleteFunc(slices.Clone(given), func(p string) bool { return p == hiddenNames || !slices.Contains(idle, p) })
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
var ErrSystem = errors.New("it shows what the system has, and holds no files")

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
