package store

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"unicode/utf8"

	"shoal/chunker"
)

// Not every disk takes every name, and some take two for one. What a file system does is found out by making names in an
// empty directory beside the .part, before any data is fetched: errors and rules differ too much from driver to driver.

// probe is that directory.
type probe struct {
	parent *os.Root
	name   string
	dir    *os.Root
	known  map[string]bool // by name: it is taken
	links  int             // 1: symlinks can be made; -1: they cannot; 0: not tried
	err    error           // of the disk or this process, not of a name
	note   string          // file in the home that names it, for the next start
}

// newProbe makes it in dir, which parent has open, for a download of a root. Of the same download, what a crash has left of it is taken
// away first; the next start takes away what is left of others.
func newProbe(home string, parent *os.Root, dir, root string) (*probe, error) {
	sum := sha256.Sum256([]byte(home + "\x00" + root))
	p := &probe{parent: parent, name: fmt.Sprintf("%s%x", probePrefix, sum[:6]), known: map[string]bool{}}
	p.note = noteProbe(home, filepath.Join(dir, p.name))
	err := parent.Mkdir(p.name, 0o700)
	if errors.Is(err, fs.ErrExist) {
		if err = parent.RemoveAll(p.name); err == nil {
			err = parent.Mkdir(p.name, 0o700)
		}
	}
	if err == nil {
		if p.dir, err = parent.OpenRoot(p.name); err != nil {
			err = errors.Join(err, parent.Remove(p.name))
		}
	}
	return p, err
}

func (p *probe) close() error {
	err := errors.Join(p.dir.Close(), p.parent.RemoveAll(p.name))
	if err == nil && p.note != "" {
		_ = os.Remove(p.note) // the next start finds nothing to take away
	}
	return err
}

// probePrefix begins the name of every probe.
const probePrefix = ".shoal-probe-"

// noteProbe writes down where a probe is about to be made, outside of the index, whose commits a kill may still lose. Where the
// home cannot be written it does without.
func noteProbe(home, path string) (note string) {
	sum := sha256.Sum256([]byte(path))
	note = filepath.Join(home, probesName, fmt.Sprintf("%x", sum[:8]))
	if os.MkdirAll(filepath.Dir(note), 0o700) != nil || os.WriteFile(note, []byte(path), 0o600) != nil {
		return ""
	}
	return note
}

// dropProbes takes away the probes that a crash has left.
func (s *Store) dropProbes() {
	dir := filepath.Join(s.home, probesName)
	notes, _ := os.ReadDir(dir)
	for _, e := range notes {
		note := filepath.Join(dir, e.Name())
		b, err := os.ReadFile(note)
		path := string(b)
		if err == nil && filepath.IsAbs(path) && strings.HasPrefix(filepath.Base(path), probePrefix) {
			parent, gone := chunker.OpenRootPath(filepath.Dir(path))
			if gone != nil {
				continue // its disk may not be mounted
			}
			if _, gone = parent.Lstat(filepath.Base(path)); !errors.Is(gone, fs.ErrNotExist) { // to remove nothing fails where the disk is read-only
				err = parent.RemoveAll(filepath.Base(path))
			}
			err = errors.Join(err, parent.Close())
		}
		if err == nil {
			err = os.Remove(note)
		}
		if err != nil {
			s.cfg.Logger.Warn("what a crash left in a destination could not be taken away", "path", path, "error", err)
		}
	}
}

// make creates a file that must not be there; false: it cannot be.
func (p *probe) make(name string) bool {
	local, err := localName(name)
	if err != nil {
		return false
	}
	f, err := p.dir.OpenFile(local, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if isNoSpace(err) || isTransient(err) || isReadOnly(err) {
		p.err = err
	}
	return err == nil && f.Close() == nil
}

// remove deletes files again. One that stays would make every later answer wrong.
func (p *probe) remove(names ...string) {
	for _, name := range names {
		local, err := localName(name)
		if err == nil {
			err = p.dir.Remove(local)
		}
		p.err = cmp.Or(p.err, err)
	}
}

// localName is a name as this system writes it. A name that a user gave may have bytes that are no text, which Unix takes.
func localName(name string) (string, error) {
	if runtime.GOOS != "windows" && !utf8.ValidString(name) && elementOf(name) {
		return name, nil
	}
	return filepath.Localize(name)
}

// lists tells whether the only name there is this one, as the disk gives it back: some show all in lower case, some spell accents
// in another way.
func (p *probe) lists(name string) bool {
	entries, err := fs.ReadDir(p.dir.FS(), ".")
	p.err = cmp.Or(p.err, err)
	return len(entries) == 1 && (strings.EqualFold(entries[0].Name(), name) || foreign(name) && foreign(entries[0].Name()))
}

// foreign tells whether a name has more than ASCII.
func foreign(name string) bool {
	return strings.ContainsFunc(name, func(r rune) bool { return r >= utf8.RuneSelf })
}

// takes tells whether a file may have the name, and has that name then and no other.
func (p *probe) takes(name string) bool {
	ok, known := p.known[name]
	if !known {
		if ok = p.make(name); ok {
			ok = p.lists(name)
			p.remove(name)
		}
		p.known[name] = ok
	}
	return ok
}

// takesLinks tells whether a symlink can be made.
func (p *probe) takesLinks() bool {
	if p.links == 0 {
		if p.links = 1; p.dir.Symlink("nowhere", "l") != nil {
			p.links = -1
		} else {
			p.remove("l")
		}
	}
	return p.links > 0
}

// longTarget is where some disks take a symlink's target no longer: XFS takes 1024 bytes, others up to 4095.
const longTarget = 1000

// takesLink tells whether a symlink to target can be made; a long one is tried itself.
func (p *probe) takesLink(target string) bool {
	if len(target) < longTarget || !p.takesLinks() {
		return p.takesLinks()
	}
	if p.dir.Symlink(target, "l") != nil {
		return false
	}
	p.remove("l")
	return true
}

// longLinks tells whether a symlink that is wanted has a long target. Called under mu.
func (d *Download) longLinks() bool {
	for i, e := range d.x.layout.Entries() {
		if d.sel.want[i] && e.Kind == chunker.Symlink && len(e.Target) >= longTarget {
			return true
		}
	}
	return false
}

// same tells which of the names are one with an earlier one there: by name that earlier one.
func (p *probe) same(names []string) map[string]string {
	out := map[string]string{}
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !p.takes(name) })
	var made []string
	for _, name := range names {
		if p.make(name) {
			made = append(made, name)
			continue
		}
		if len(made) == 0 { // it was taken a moment ago, and nothing is in its way
			p.err = cmp.Or(p.err, fmt.Errorf("%q could be made once only", name))
			continue
		}
		i := slices.IndexFunc(made, func(m string) bool { return folded(m) == folded(name) })
		out[name] = made[max(i, 0)]
	}
	p.remove(made...)
	return out
}

// folded is equal for names that differ in case, or in what some systems cut off.
func folded(name string) string {
	return strings.ToLower(strings.ToUpper(strings.TrimRight(name, ". ")))
}

// odd tells whether the file system is of those that refuse names or take two for one.
func (p *probe) odd() bool {
	for _, name := range []string{"a:b", "a.", "\u00e9", strings.Repeat("x", maxName)} {
		if !p.takes(name) {
			return true
		}
	}
	return len(p.same([]string{"Aa", "aA"}))+len(p.same([]string{"\u00e9", "e\u0301"})) > 0 || !p.takesLinks()
}

// suspicious tells whether some system may refuse the name, or change it.
func suspicious(name string) bool {
	if base, _, _ := strings.Cut(strings.ToUpper(name), "."); reserved[base] {
		return true
	}
	if len(name) > 100 || strings.HasSuffix(name, ".") || strings.HasSuffix(name, " ") {
		return true
	}
	for _, r := range name {
		if r < ' ' || r >= utf8.RuneSelf || strings.ContainsRune(`<>:"|?*\`, r) {
			return true
		}
	}
	return false
}

// escaped is a name like this one that the disk takes and that is none of the others, always the same one; "": there is none.
func (p *probe) escaped(name string, others map[string]bool) string {
	clean := strings.TrimRight(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError || strings.ContainsRune(`<>:"|?*\`, r) {
			return '_'
		}
		return r
	}, name), ". ")
	if base, _, _ := strings.Cut(strings.ToUpper(clean), "."); reserved[base] || clean == "" {
		clean = "_" + clean
	}
	clean = shortened(clean, maxPart)
	ext := path.Ext(clean)
	for n := 1; n < 10000; n++ {
		try := clean
		if n > 1 {
			try = fmt.Sprintf("%s_%d%s", strings.TrimSuffix(clean, ext), n, ext)
		}
		if !others[folded(try)] && p.takes(try) {
			return try
		}
	}
	return ""
}

// These say why a name is left out.
const (
	whyName     = "is a name that the disk there does not take"
	whyLinks    = "is a symlink, which the disk there does not have"
	whyLongLink = "is a symlink to a path longer than the disk there takes"
)

// checkNames finds the names of a complete layout that the destination cannot hold, and leaves them out or, if that is
// wished, gives them others. Nothing has been written yet where that can be needed.
func (d *Download) checkNames() error {
	d.mu.RLock()
	due := !d.namesChecked && (d.odd || d.longLinks())
	d.mu.RUnlock()
	if !due {
		return nil
	}
	p, err := newProbe(d.s.home, d.dst.parent, d.dst.dir, d.rec.root.KeyString())
	if err != nil {
		return fsError("create a directory in", d.dst.dir, err)
	}
	defer p.close()
	d.mu.Lock()
	defer d.mu.Unlock()
	siblings := map[string][]int{}
	entries := d.x.layout.Entries()
	for i, e := range entries {
		if e.Path != d.sel.sub && within(e.Path, d.sel.sub) && (d.sel.want[i] || e.Kind == chunker.Dir) {
			above, _ := splitRel(e.Path)
			siblings[above] = append(siblings[above], i)
		}
	}
	bad := ""
	for i, e := range entries {
		if bad != "" && within(e.Path, bad) {
			d.refuse(i)
			continue
		}
		if e.Kind == chunker.Dir && within(e.Path, d.sel.sub) {
			d.checkSiblings(p, siblings[e.Path])
		}
		if d.badName[i] {
			bad = e.Path
			d.refuse(i)
		}
	}
	d.namesChecked = p.err == nil
	return fsError("try names in", d.dst.dir, p.err)
}

// checkSiblings looks at the names in one directory. Called under mu.
func (d *Download) checkSiblings(p *probe, children []int) {
	entries := d.x.layout.Entries()
	byFold, others := map[string][]string{}, map[string]bool{}
	var accents []string
	names := make([]string, len(children))
	for k, i := range children {
		_, name := splitRel(entries[i].Path)
		names[k] = name
		byFold[folded(name)] = append(byFold[folded(name)], name)
		others[folded(name)] = true
		if foreign(name) {
			accents = append(accents, name)
		}
	}
	one := map[string]string{}
	for _, group := range byFold {
		if len(group) > 1 {
			for name, first := range p.same(group) {
				one[name] = first
			}
		}
	}
	if len(accents) > 1 {
		for name, first := range p.same(accents) {
			one[name] = first
		}
	}
	for k, i := range children {
		first, twice := one[names[k]]
		switch e := &entries[i]; {
		case e.Kind == chunker.Symlink && d.sel.want[i] && !p.takesLink(e.Target):
			why := whyLinks
			if p.takesLinks() {
				why = whyLongLink
			}
			d.list(Refusal{Path: d.sel.rel(e.Path), Why: why})
			d.badName[i] = true
		case twice:
			d.otherName(p, i, names[k], others, fmt.Sprintf("is the same name as %s on the disk there", first))
		case suspicious(names[k]) && !p.takes(names[k]):
			d.otherName(p, i, names[k], others, whyName)
		}
	}
}

// otherName gives an entry a name that the disk takes, or leaves it out. Called under mu.
func (d *Download) otherName(p *probe, i int, name string, others map[string]bool, why string) {
	e := &d.x.layout.Entries()[i]
	if d.rec.rename {
		if to := p.escaped(name, others); to != "" {
			others[folded(to)] = true
			d.sel.rename(e.Path, to)
			d.renames = append(d.renames, Renaming{From: e.Path, To: d.sel.rel(e.Path)})
			return
		}
	}
	d.badName[i] = true
	d.list(Refusal{Path: d.sel.rel(e.Path), Why: why, Renamable: !d.rec.rename})
}

// fitName is t with a name that the disk takes. One that the user gave is only changed if that is wished.
func fitName(t Target, home string) (Target, error) {
	name := t.Name
	if name == "" && t.Sub != "" {
		name = path.Base(t.Sub)
	}
	if name == "" || !suspicious(name) {
		return t, nil
	}
	parent, err := chunker.OpenRootPath(t.Dir)
	if err != nil {
		return t, fsError("open", t.Dir, err)
	}
	defer parent.Close()
	if _, err := parent.Lstat(name); err == nil {
		return t, nil
	}
	p, err := newProbe(home, parent, t.Dir, t.Root.KeyString())
	if err != nil {
		return t, nil // writing tells
	}
	defer p.close()
	if p.takes(name) || p.err != nil {
		return t, nil
	}
	to := ""
	if !t.Fixed || t.Rename {
		to = p.escaped(name, map[string]bool{})
	}
	if to == "" {
		return t, &BlockedError{Path: filepath.Join(t.Dir, name), Why: whyName, Renamable: !t.Rename}
	}
	t.Name = to
	return t, nil
}

// probe finds out, before anything is written, what the file system of the destination does with names. What is odd there is
// looked at name by name, once all are known.
func (d *Download) probe() error {
	p, err := newProbe(d.s.home, d.dst.parent, d.dst.dir, d.rec.root.KeyString())
	if err != nil {
		return nil // what is there may be all that is wanted; else writing tells
	}
	d.odd = p.odd() && p.err == nil
	d.holding = d.holding || d.odd
	if err := p.close(); err != nil {
		return fsError("delete", filepath.Join(d.dst.dir, p.name), err)
	}
	return nil
}

// unlisted is an error if the disk does not give back, of a tree that was written to an odd file system, each name that
// should be there: two may have become one in spite of all.
func (d *Download) unlisted(t *dest) error {
	d.mu.RLock()
	odd := d.odd && t.tree
	d.mu.RUnlock()
	if !odd {
		return nil
	}
	lists := map[string]map[string]int{} // by directory: names in lower case, as some disks show all
	for i, e := range d.x.layout.Entries() {
		if !d.sel.want[i] || e.Path == d.sel.sub {
			continue
		}
		rel := d.sel.rel(e.Path)
		above, name := splitRel(rel)
		names, ok := lists[above]
		if !ok {
			h, err := t.acquireDir(above, false)
			if err != nil {
				return fsError("list", t.path(above), err)
			}
			entries, err := fs.ReadDir(h.v.FS(), ".")
			t.dirs.release(h)
			if err != nil {
				return fsError("list", t.path(above), err)
			}
			names = map[string]int{}
			for _, e := range entries {
				names[strings.ToLower(e.Name())]++
			}
			lists[above] = names
		}
		if key := strings.ToLower(name); names[key] > 0 {
			names[key]--
		} else if !foreign(name) {
			return &BlockedError{Path: t.path(rel), Why: "is not there under its own name: the disk takes it and another of the share for one"}
		}
	}
	return nil
}
