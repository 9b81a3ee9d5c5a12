package store

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"shoal/chunker"
)

// selection says which entries of a root are wanted, and where they go below the
// result. It follows a layout as that grows.
type selection struct {
	sub     string
	selects []string
	root    int    // index of the entry that is the result itself; -1: not known yet
	want    []bool // by entry; unused while everything is wanted
	hit     []bool // by select

	renamed map[string]string // by path: the name at the destination, where it is another one
}

func newSelection(sub string, selects []string) *selection {
	return &selection{sub: sub, selects: selects, root: -1, hit: make([]bool, len(selects))}
}

// everything tells whether all leaves are wanted.
func (sel *selection) everything() bool { return sel.sub == "" && len(sel.selects) == 0 }

// follow looks at the entries that became known.
func (sel *selection) follow(entries []chunker.Entry) {
	for i := len(sel.want); i < len(entries); i++ {
		p := entries[i].Path
		if p == sel.sub {
			sel.root = i
		}
		want := within(p, sel.sub)
		if want && len(sel.selects) > 0 {
			want = false
			for k, s := range sel.selects {
				if within(p, s) {
					want, sel.hit[k] = true, true
				}
			}
		}
		sel.want = append(sel.want, want)
	}
}

// rel is the path of a wanted entry below the result.
func (sel *selection) rel(p string) string {
	if len(sel.renamed) > 0 {
		return sel.renamedRel(p)
	}
	return sel.below(p)
}

func (sel *selection) below(p string) string {
	if sel.sub == "" {
		return p
	}
	return strings.TrimPrefix(p[len(sel.sub):], "/")
}

// rename gives an entry another name at the destination.
func (sel *selection) rename(p, to string) {
	if sel.renamed == nil {
		sel.renamed = map[string]string{}
	}
	sel.renamed[p] = to
}

func (sel *selection) renamedRel(p string) string {
	rel := sel.below(p)
	if rel == "" {
		return ""
	}
	parts := strings.Split(rel, "/")
	at := len(p) - len(rel)
	for k, name := range parts {
		at += len(name)
		if to, ok := sel.renamed[p[:at]]; ok {
			parts[k] = to
		}
		at++
	}
	return strings.Join(parts, "/")
}

// unmatched is an error for paths that a complete layout does not have.
func (sel *selection) unmatched(entries []chunker.Entry) error {
	if sel.root < 0 {
		return noMatch(sel.sub, entries)
	}
	for k, hit := range sel.hit {
		if !hit {
			return noMatch(sel.selects[k], entries)
		}
	}
	return nil
}

// Match checks that the paths of t are in its root, as far as that is known here: all of what is in it, or nothing. ErrNoMatch.
func (s *Store) Match(t Target) (known bool, err error) {
	sel := newSelection(cleanSub(t.Sub), cleanSelects(t.Select))
	if sel.everything() {
		return true, nil
	}
	l, err := s.Layout(t.Root)
	if errors.Is(err, ErrNotFound) || err == nil && !l.Complete() {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	sel.follow(l.Entries())
	return true, sel.unmatched(l.Entries())
}

// maxNamed is how many names an error about a wrong path lists.
const maxNamed = 8

// noMatch says that a path is not in a share, and what there is where it goes wrong.
func noMatch(p string, entries []chunker.Entry) error {
	dir := ""
	for _, e := range entries {
		if len(e.Path) > len(dir) && within(p, e.Path) {
			if dir = e.Path; e.Kind != chunker.Dir {
				return fmt.Errorf("%w: %q: %q is not a directory", ErrNoMatch, p, dir)
			}
		}
	}
	var names []string
	more := 0
	for _, e := range entries {
		switch {
		case e.Path == "" && e.Kind != chunker.Dir:
			return fmt.Errorf("%w: %q: the share is a single file", ErrNoMatch, p)
		case e.Path == "" || path.Dir(e.Path) != path.Clean(dir):
		case len(names) < maxNamed:
			names = append(names, fmt.Sprintf("%q", path.Base(e.Path)))
		default:
			more++
		}
	}
	list := strings.Join(names, ", ")
	if more > 0 {
		list = fmt.Sprintf("%s and %d more", list, more)
	}
	if dir == "" {
		return fmt.Errorf("%w: %q; there are %s", ErrNoMatch, p, list)
	}
	return fmt.Errorf("%w: %q; in %q are %s", ErrNoMatch, p, dir, list)
}

// covered is an error for paths asked for that are within others that are selected, but
// not in the share.
func (sel *selection) covered(asked []string, entries []chunker.Entry) error {
	for _, s := range asked {
		there := slices.Contains(sel.selects, s)
		for i := 0; i < len(entries) && !there; i++ {
			there = sel.want[i] && within(entries[i].Path, s)
		}
		if !there {
			return noMatch(s, entries)
		}
	}
	return nil
}

// dropMisses takes out the paths that a complete layout does not have and that are not
// in asked, unless that leaves none. It tells whether there were any.
func (sel *selection) dropMisses(asked []string) bool {
	var kept []string
	var hits []bool
	for k, s := range sel.selects {
		if sel.hit[k] || slices.Contains(asked, s) {
			kept, hits = append(kept, s), append(hits, sel.hit[k])
		}
	}
	if len(kept) == len(sel.selects) || len(kept) == 0 {
		return false
	}
	sel.selects, sel.hit = kept, hits
	return true
}

// cleanSelects normalises paths; nil where one of them means everything.
func cleanSelects(selects []string) []string {
	var out []string
	for _, s := range selects {
		if s = cleanSub(s); s == "" {
			return nil
		}
		out = append(out, s)
	}
	return out
}

// union of two selections; an empty one is everything.
func union(a, b []string) []string {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	out := append([]string(nil), a...)
next:
	for _, s := range b {
		for _, t := range out {
			if within(s, t) {
				continue next
			}
		}
		out = append(out, s)
	}
	return out
}

// title is what the result is called: the name asked for, else the last element of
// the path asked for, else what a peer suggested, else the CID.
func (r *record) title() string {
	switch {
	case r.name != "":
		return r.name
	case r.sub != "":
		return path.Base(r.sub)
	case r.suggested != "":
		return r.suggested
	}
	return r.root.String()
}
