package chunker

import (
	"fmt"
	"strings"
)

// advance walks on until a node is needed that has not been seen yet.
func (w *Walker) advance() error {
	w.more = false
	for len(w.stack) > 0 {
		f := &w.stack[len(w.stack)-1]
		if f.next == len(f.links) {
			w.close()
			continue
		}
		l := f.links[f.next]
		f.next++
		if err := w.step(f, l); err != nil {
			return err
		}
		if w.more {
			return nil
		}
	}
	w.l.complete = true
	w.done = nil
	return nil
}

// step follows one link: takes in a raw leaf, copies a node known already, or
// asks for it.
func (w *Walker) step(f *frame, l link) error {
	d := f.node.digest(l)
	next := want{digest: d, v0: l.v0, role: roleEntry}
	switch f.typ {
	case typeDirectory:
		next.path = joinRel(f.path, string(f.name(l)))
	case typeHAMTShard:
		slot, name, _ := f.slot(l) // checked when the node was opened
		if len(name) > 0 {
			next.path = joinRel(f.path, string(name))
			break
		}
		lg, _ := slotBits(f.node.fanout)
		next.role, next.path, next.fanout = roleShard, f.path, f.node.fanout
		next.used = f.used + lg
		next.prefix = f.prefix | uint64(slot)<<(64-next.used)
	default:
		if l.raw {
			return w.leaf(d, l.size)
		}
		next.role, next.size = rolePart, l.size
	}
	if l.raw {
		return w.rawFile(next.path, d, l)
	}
	if m, ok := w.done[d]; ok {
		f.saw(int(m.height) + 1)
		return w.copy(&m, &next)
	}
	w.want, w.more = next, true
	return nil
}

// rawFile takes in a file that is a single raw leaf linked from a directory.
func (w *Walker) rawFile(path string, d digest, l link) error {
	if !l.sized {
		return fmt.Errorf("%w: link to raw leaf %q without a size", ErrMalformed, path)
	}
	if err := w.entry(path, File, "", attrs{}); err != nil {
		return err
	}
	if err := w.leaf(d, l.size); err != nil {
		return err
	}
	e := &w.l.entries[len(w.l.entries)-1]
	e.Leaves, e.Size = 1, int64(l.size)
	return nil
}

// copy repeats what a node walked before stands for, at another place.
func (w *Walker) copy(m *memo, at *want) error {
	if len(w.stack)+int(m.height)+1 > w.lim.Depth {
		return fmt.Errorf("%w: deeper than %d nodes", ErrLimit, w.lim.Depth)
	}
	if int(m.leaves) > w.lim.Leaves-w.l.leaves.n {
		return fmt.Errorf("%w: more than %d leaves", ErrLimit, w.lim.Leaves)
	}
	switch {
	case at.role == rolePart && m.kind != File:
		return fmt.Errorf("%w: %s inside a file", ErrMalformed, m.kind)
	case at.role == rolePart && m.size != int64(at.size):
		return fmt.Errorf("%w: part of %d bytes where its parent says %d", ErrMalformed, m.size, at.size)
	case (at.role == roleShard) != (m.role == roleShard),
		at.role == roleShard && (int(m.used) != at.used || m.prefix != at.prefix || int(m.fanout) != at.fanout):
		return fmt.Errorf("%w: HAMT shard at two different places", ErrMalformed)
	}
	if at.role != rolePart {
		if err := w.copyEntries(m, at.path); err != nil {
			return err
		}
	}
	leaves := &w.l.leaves
	for i := int(m.firstLeaf); i < int(m.firstLeaf+m.leaves); i++ {
		leaves.add(leaves.digest(i), leaves.start(i+1)-leaves.start(i))
	}
	return nil
}

// copyEntries repeats the entries of m below path.
func (w *Walker) copyEntries(m *memo, path string) error {
	if m.role == rolePart { // walked inside another file, so it has no entry yet
		if err := w.entry(path, File, "", m.attrs); err != nil {
			return err
		}
		e := &w.l.entries[len(w.l.entries)-1]
		e.Leaves, e.Size = int(m.leaves), m.size
		return nil
	}
	shift := len(w.l.entries) - int(m.firstEntry)
	leafShift := w.l.leaves.n - int(m.firstLeaf)
	for i := int(m.firstEntry); i < int(m.firstEntry+m.entries); i++ {
		old := w.l.entries[i]
		at := path
		if rel := strings.TrimPrefix(old.Path[m.base:], "/"); rel != "" {
			at = joinRel(path, rel)
		}
		if err := w.entry(at, old.Kind, old.Target, attrs{}); err != nil {
			return err
		}
		e := &w.l.entries[len(w.l.entries)-1]
		*e = old
		e.Path, e.First = at, old.First+leafShift
		w.l.after[len(w.l.after)-1] = w.l.after[i] + int32(shift)
	}
	return nil
}

// checkNames checks the names of a basic directory. Writers sort them, so that a
// set is needed only where one did not.
func (f *frame) checkNames(lim Limits) error {
	sorted := true
	for i, l := range f.links {
		if err := checkName(f.name(l), lim); err != nil {
			return err
		}
		sorted = sorted && (i == 0 || string(f.name(f.links[i-1])) < string(f.name(l)))
	}
	if sorted {
		return nil
	}
	seen := make(map[string]struct{}, len(f.links))
	for _, l := range f.links {
		name := string(f.name(l))
		if _, twice := seen[name]; twice {
			return fmt.Errorf("%w: name %q twice in a directory", ErrMalformed, name)
		}
		seen[name] = struct{}{}
	}
	return nil
}

// checkSlots checks the link names of a HAMT shard: a slot number, which no other
// link has, then the entry's name, whose hash must lead to that slot. So no name
// can occur twice in the whole directory.
func (f *frame) checkSlots(lim Limits) error {
	lg, _ := slotBits(f.node.fanout)
	if f.used+lg > 64 {
		return fmt.Errorf("%w: %w", ErrMalformed, errHAMTDepth)
	}
	var taken [maxFanout]bool
	for _, l := range f.links {
		slot, name, ok := f.slot(l)
		if !ok || taken[slot] {
			return fmt.Errorf("%w: HAMT link name %q", ErrMalformed, f.name(l))
		}
		taken[slot] = true
		if len(name) == 0 {
			if l.raw {
				return fmt.Errorf("%w: raw leaf as a HAMT shard", ErrMalformed)
			}
			continue
		}
		if err := checkName(name, lim); err != nil {
			return err
		}
		place := f.prefix | uint64(slot)<<(64-f.used-lg)
		if nameHash(string(name))>>(64-f.used-lg) != place>>(64-f.used-lg) {
			return fmt.Errorf("%w: name %q in the wrong HAMT slot", ErrMalformed, name)
		}
	}
	return nil
}

// slot splits a HAMT link name into slot number and entry name; the latter is
// empty for a sub-shard.
func (f *frame) slot(l link) (slot int, name []byte, ok bool) {
	_, pad := slotBits(f.node.fanout)
	b := f.name(l)
	if len(b) < pad {
		return 0, nil, false
	}
	for _, c := range b[:pad] {
		switch {
		case c >= '0' && c <= '9':
			slot = slot<<4 | int(c-'0')
		case c >= 'A' && c <= 'F':
			slot = slot<<4 | int(c-'A'+10)
		default:
			return 0, nil, false
		}
	}
	return slot, b[pad:], slot < f.node.fanout
}
