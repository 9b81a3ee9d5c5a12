package node

import (
	"errors"
	"path"
	"path/filepath"
	"strings"

	"shoal/chunker"
	"shoal/node/api"
	"shoal/node/store"
)

// maxHops bounds the symlinks on the way to a file.
const maxHops = 40

// finder looks for a path while its root is being walked, and follows symlinks
// inside of the root. Each entry is looked at once, and again after a symlink.
type finder struct {
	want  string // the path, symlinks replaced as far as met
	seen  int    // entries looked at
	hops  int
	entry int // index of the file; -1: not found yet
}

func newFinder(path string) *finder { return &finder{want: path, entry: -1} }

func (f *finder) found() bool { return f.entry >= 0 }

// advance looks at the entries that became known. Codes: invalid (not a file),
// not_found.
func (f *finder) advance(l *chunker.Layout) error {
	for entries := l.Entries(); !f.found() && f.seen < len(entries); {
		e := &entries[f.seen]
		f.seen++
		if err := f.look(e); err != nil {
			return err
		}
	}
	if !f.found() && l.Complete() {
		return f.missing()
	}
	return nil
}

// look takes in one entry, if it is on the way.
func (f *finder) look(e *chunker.Entry) error {
	rest, below := strings.CutPrefix(f.want, e.Path+"/")
	switch {
	case e.Path == f.want && e.Kind == chunker.File:
		f.entry = f.seen - 1
	case e.Path == f.want && e.Kind == chunker.Dir:
		return api.Errorf(api.Invalid, "it is a directory").
			WithHint("Fetch it with `shoal get`, or name a file in it; `shoal ls` lists a share.")
	case e.Path == f.want && e.Kind == chunker.Symlink:
		return f.follow(e, "")
	case below && e.Path != "" && e.Kind == chunker.Symlink:
		return f.follow(e, rest)
	case below && e.Path != "" && e.Kind == chunker.File:
		return f.missing()
	}
	return nil
}

// follow replaces a symlink by its target. One that leads out of the root is not
// followed: there may be nothing, or something that is nobody's to read.
func (f *finder) follow(e *chunker.Entry, rest string) error {
	target := path.Join(path.Dir(e.Path), e.Target, rest)
	out := path.IsAbs(e.Target) || e.Path == "" || target == ".." || strings.HasPrefix(target, "../")
	if out {
		return api.Errorf(api.Invalid, "%q is a symlink to %q, which is outside of the root", e.Path, e.Target)
	}
	if f.hops++; f.hops > maxHops {
		return api.Errorf(api.Invalid, "more than %d symlinks on the way", maxHops)
	}
	if target == "." {
		target = ""
	}
	f.want, f.seen = target, 0
	return nil
}

func (f *finder) missing() error {
	return api.Errorf(api.NotFound, "there is no %q in it", f.want).WithHint("`shoal ls CID` lists what is in a share.")
}

// catRef reads what to read: a link of any form, the name of a share, a path in
// it behind, or the absolute path of what is shared or of a file in it.
func (n *Node) catRef(ref string) (chunker.Link, error) {
	link, err := parseLink(ref)
	if err == nil {
		return link, nil
	}
	if filepath.IsAbs(ref) && !strings.HasPrefix(ref, "/ipfs/") && !strings.HasPrefix(ref, "/ipns/") {
		return n.catPath(filepath.Clean(ref))
	}
	name, sub, _ := strings.Cut(ref, "/")
	if _, notName := parseLink(name); notName == nil || strings.Contains(ref, "://") || name == "" {
		return link, err
	}
	_, root, findErr := n.find(name)
	switch {
	case findErr == nil:
		return chunker.Link{Root: root, Path: strings.Trim(path.Clean("/"+sub), "/")}, nil
	case api.AsError(findErr).Code == api.Conflict:
		return link, findErr
	}
	return link, api.Errorf(api.Invalid, "neither a link nor the name of a share (%w)", err).
		WithHint("A link looks like ipfs://CID?filename=… or CID/PATH; `shoal ls` lists the shares.")
}

// catPath finds an absolute path in what is shared at it, or above it.
func (n *Node) catPath(file string) (chunker.Link, error) {
	for at := file; ; at = filepath.Dir(at) {
		root, sub, err := n.store.RootAt(at)
		if err == nil {
			below := strings.TrimPrefix(file[len(at):], string(filepath.Separator))
			return chunker.Link{Root: root, Path: path.Join(sub, filepath.ToSlash(below))}, nil
		}
		if !errors.Is(err, store.ErrNotFound) {
			return chunker.Link{}, userError(err)
		}
		if at == filepath.Dir(at) {
			return chunker.Link{}, api.Errorf(api.Invalid, "nothing is shared at %s, or above it", file).WithHint("`shoal ls` lists the shares.")
		}
	}
}
