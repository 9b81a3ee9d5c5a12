package store_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"shoal/chunker"
	"shoal/node/store"

	"github.com/ipfs/go-cid"
)

// twoPlaces shares the same tree at two paths.
func twoPlaces(t *testing.T) (s *store.Store, home, one, two string, sh store.Share) {
	t.Helper()
	home = t.TempDir()
	s = open(t, home, always())
	dir := t.TempDir()
	one, two = filepath.Join(dir, "one"), filepath.Join(dir, "two")
	for _, at := range []string{one, two} {
		makeTree(t, at, map[string]string{"a": string(content(1, 3<<20)), "b": string(content(2, 1<<20)), "c": "small"})
		sh = share(t, s, at, chunker.Config{})
	}
	return s, home, one, two, sh
}

func pathsOf(sh store.Share) (paths []string) {
	for _, p := range sh.Places {
		paths = append(paths, p.Path)
	}
	slices.Sort(paths)
	return paths
}

// readAll reads every leaf of a share.
func readAll(s *store.Store, sh store.Share) error {
	r, err := s.OpenRoot(sh.Root)
	if err != nil {
		return err
	}
	defer r.Close()
	buf := make([]byte, 1<<20)
	for i := range r.Leaves() {
		if _, err := r.ReadLeaf(i, buf); err != nil {
			return err
		}
	}
	return nil
}

// TestSecondPlace deletes and changes files at either of two places: the root is served as long as each
// chunk is right at one of them.
func TestSecondPlace(t *testing.T) {
	s, home, one, two, sh := twoPlaces(t)
	if got := pathsOf(sh); !slices.Equal(got, []string{one, two}) {
		t.Fatalf("places %v", got)
	}
	for _, path := range []string{filepath.Join(one, "a"), filepath.Join(two, "b")} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := readAll(s, sh); err != nil {
		t.Errorf("each file is right at one place: %v", err)
	}
	now, err := s.Share(sh.Root)
	if err != nil || now.State != store.Complete || now.Have != now.Leaves || now.HaveBytes != now.Size {
		t.Errorf("share %+v, %v", now, err)
	}
	for _, p := range now.Places {
		if p.State != store.Changed || p.Have >= now.Leaves {
			t.Errorf("place %+v", p)
		}
	}
	report, err := s.Verify(context.Background(), sh.Root, false, nil)
	if err != nil || report.Files != 6 || report.OK != 4 || len(report.Bad) != 2 {
		t.Errorf("verify: %+v, %v", report, err)
	}
	if err := os.RemoveAll(two); err != nil {
		t.Fatal(err)
	}
	if err := readAll(s, sh); !errors.Is(err, store.ErrChanged) {
		t.Errorf("a file that is right nowhere: %v", err)
	}

	// The places outlive a restart.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, home, always())
	if now, err = s.Share(sh.Root); err != nil || len(now.Places) != 2 || now.State != store.Changed {
		t.Errorf("after a restart: %+v, %v", now, err)
	}
	if n, err := s.Garbage(); n != 0 || err != nil {
		t.Errorf("%d rows of garbage, %v", n, err)
	}
}

// TestRemovePlace removes the places one by one, the first first.
func TestRemovePlace(t *testing.T) {
	s, _, one, two, sh := twoPlaces(t)
	if err := s.RemovePlace(one); err != nil {
		t.Fatal(err)
	}
	now, err := s.Share(sh.Root)
	if err != nil || !slices.Equal(pathsOf(now), []string{two}) || now.Path != two {
		t.Errorf("share %+v, %v", now, err)
	}
	if err := readAll(s, sh); err != nil {
		t.Errorf("the other place: %v", err)
	}
	if err := s.RemovePlace(one); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("twice: %v", err)
	}
	if err := s.RemovePlace(two); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Share(sh.Root); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("after the last place: %v", err)
	}
	if n, err := s.Garbage(); n != 0 || err != nil {
		t.Errorf("%d rows of garbage, %v", n, err)
	}
}

// TestRemoveAllPlaces removes a root by its CID.
func TestRemoveAllPlaces(t *testing.T) {
	s, _, _, _, sh := twoPlaces(t)
	if err := s.Remove(sh.Root); err != nil {
		t.Fatal(err)
	}
	if all, err := s.Shares(); err != nil || len(all) != 0 {
		t.Errorf("shares %+v, %v", all, err)
	}
	if n, err := s.Garbage(); n != 0 || err != nil {
		t.Errorf("%d rows of garbage, %v", n, err)
	}
}

// TestNewName gives a root that is shared already another name.
func TestNewName(t *testing.T) {
	s, _, one, two, sh := twoPlaces(t)
	if sh.Name != "two" {
		t.Errorf("name of the second place: %q", sh.Name)
	}
	for _, at := range []string{one, two} {
		im := s.Import()
		tree, err := chunker.Build(context.Background(), at, chunker.Config{}, im.PutNode)
		if err != nil {
			t.Fatal(err)
		}
		if sh, err = im.Commit(context.Background(), tree, at, "photos"); err != nil || sh.Name != "photos" || sh.Path != at || len(sh.Places) != 2 {
			t.Errorf("%+v, %v", sh, err)
		}
	}
	now, err := s.Share(sh.Root)
	if err != nil || now.Name != "photos" {
		t.Errorf("%+v, %v", now, err)
	}
	for _, p := range now.Places {
		if p.Name != "photos" {
			t.Errorf("place %+v", p)
		}
	}
}

// TestOnePathIsOneShare shares a path again after a change: the version there is replaced, and what of the old one is
// still on the disk is served.
func TestOnePathIsOneShare(t *testing.T) {
	home := t.TempDir()
	s := open(t, home, always())
	path := filepath.Join(t.TempDir(), "docs")
	makeTree(t, path, map[string]string{"kept": string(content(1, 2<<20)), "edited": "one", "gone": "x"})
	first := share(t, s, path, chunker.Config{})
	makeTree(t, path, map[string]string{"edited": "two, longer", "new": "y"})
	if err := os.Remove(filepath.Join(path, "gone")); err != nil {
		t.Fatal(err)
	}
	second := share(t, s, path, chunker.Config{})
	if second.Root.Equals(first.Root) {
		t.Fatal("nothing has changed")
	}
	all, err := s.Shares()
	if err != nil || len(all) != 1 || !all[0].Root.Equals(second.Root) {
		t.Fatalf("shares %+v, %v", all, err)
	}

	// The old version: what is still there is served, the rest is not.
	r := openRoot(t, s, first.Root)
	buf, served := make([]byte, 1<<20), 0
	for i := range r.Leaves() {
		if _, err := r.ReadLeaf(i, buf); err == nil {
			served++
		}
	}
	if served != 2 || r.Leaves() != 4 {
		t.Errorf("%d of %d chunks of the old version are served, want the 2 of the file that is still there", served, r.Leaves())
	}

	// Back to the first version and forth again: no more versions pile up.
	for i := range 8 {
		makeTree(t, path, map[string]string{"edited": string(content(uint64(i), 100))})
		share(t, s, path, chunker.Config{})
	}
	if all, err := s.Shares(); err != nil || len(all) != 1 {
		t.Errorf("shares %+v, %v", all, err)
	}
	if n, err := s.Records(); err != nil || n > 4 {
		t.Errorf("%d records, %v", n, err)
	}
	if err := s.Remove(all[0].Root); !errors.Is(err, nil) && !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	if all, err = s.Shares(); err != nil || len(all) != 1 {
		t.Fatalf("shares %+v, %v", all, err)
	}
	if err := s.Remove(all[0].Root); err != nil {
		t.Error(err)
	}
	if n, err := s.Records(); err != nil || n != 0 {
		t.Errorf("%d records after the path is no longer shared, %v", n, err)
	}
	if n, err := s.Garbage(); n != 0 || err != nil {
		t.Errorf("%d rows of garbage, %v", n, err)
	}
}

// TestParentAndChild shares a directory and one inside it: these are two shares.
func TestParentAndChild(t *testing.T) {
	s := open(t, t.TempDir(), always())
	path := filepath.Join(t.TempDir(), "docs")
	makeTree(t, path, map[string]string{"in/a": "a", "b": "b"})
	parent := share(t, s, path, chunker.Config{})
	child := share(t, s, filepath.Join(path, "in"), chunker.Config{})
	if all, err := s.Shares(); err != nil || len(all) != 2 {
		t.Fatalf("shares %+v, %v", all, err)
	}
	if err := s.RemovePlace(filepath.Join(path, "in")); err != nil {
		t.Fatal(err)
	}
	if err := readAll(s, parent); err != nil {
		t.Error(err)
	}
	if _, err := s.OpenRoot(child.Root); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the child: %v", err)
	}
}

// TestReshareReadsOnlyWhatChanged shares a tree again: the root is that of a full build, and only files that
// another stat are read.
func TestReshareReadsOnlyWhatChanged(t *testing.T) {
	for _, cfg := range []chunker.Config{{}, {Preserve: true}} {
		s := open(t, t.TempDir(), always())
		path := filepath.Join(t.TempDir(), "docs")
		files := map[string]string{"large": string(content(1, 5<<20+3)), "sub/edited": "one", "gone": "x", "empty": ""}
		for i := range 40 {
			files[filepath.Join("many", string(rune('a'+i%26))+string(rune('a'+i/26)))] = string(content(uint64(i), 100))
		}
		makeTree(t, path, files)
		first := share(t, s, path, cfg)
		makeTree(t, path, map[string]string{"sub/edited": "two, longer", "new": "y"})
		if err := os.Remove(filepath.Join(path, "gone")); err != nil {
			t.Fatal(err)
		}
		full, err := chunker.Build(context.Background(), path, cfg, func(cid.Cid, []byte) error { return nil })
		if err != nil {
			t.Fatal(err)
		}

		im := s.Import()
		known, err := im.Known(path)
		if err != nil || known == nil {
			t.Fatalf("nothing is known of %s: %v", path, err)
		}
		var mu sync.Mutex
		var read []string
		cfg.Known = func(path string, is chunker.FileStat) func(int) [32]byte {
			digests := known(path, is)
			mu.Lock()
			defer mu.Unlock()
			if digests == nil {
				read = append(read, path)
			}
			return digests
		}
		tree, err := chunker.Build(context.Background(), path, cfg, im.PutNode)
		if err != nil {
			t.Fatal(err)
		}
		if !tree.Root.Equals(full.Root) {
			t.Errorf("root %s, a full build gives %s", tree.Root, full.Root)
		}
		if slices.Sort(read); !slices.Equal(read, []string{"new", "sub/edited"}) {
			t.Errorf("read: %v", read)
		}
		second, err := im.Commit(context.Background(), tree, path, "")
		if err != nil {
			t.Fatal(err)
		}
		if c := im.Changes(); !reflect.DeepEqual(c, &store.Changes{Replaced: first.Root, New: 1, Changed: 1, Gone: 1, Unchanged: 42}) {
			t.Errorf("changes %+v", c)
		}
		if err := readAll(s, second); err != nil {
			t.Error(err)
		}
		report, err := s.Verify(context.Background(), second.Root, true, nil)
		if err != nil || len(report.Bad) != 0 || report.Files != 44 {
			t.Errorf("%+v, %v", report, err)
		}
	}
}

// TestOldVersionsGo drops an older version after a day, and one of which nothing is left at once.
func TestOldVersionsGo(t *testing.T) {
	s := open(t, t.TempDir(), always())
	path := filepath.Join(t.TempDir(), "docs")
	makeTree(t, path, map[string]string{"kept": "kept", "edited": "one"})
	first := share(t, s, path, chunker.Config{})
	makeTree(t, path, map[string]string{"edited": "two, longer"})
	share(t, s, path, chunker.Config{})
	for _, at := range []struct {
		after time.Duration
		there bool
	}{{23 * time.Hour, true}, {25 * time.Hour, false}} {
		if err := s.DropVersions(time.Now().Add(at.after)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.OpenRoot(first.Root); errors.Is(err, store.ErrNotFound) == at.there {
			t.Errorf("after %s: %v", at.after, err)
		}
	}
	lone := filepath.Join(t.TempDir(), "lone")
	for _, text := range []string{"one", "two, longer"} {
		makeTree(t, filepath.Dir(lone), map[string]string{"lone": text})
		sh := share(t, s, lone, chunker.Config{})
		if text == "one" {
			first = sh
		}
	}
	if r, err := s.OpenRoot(first.Root); err == nil { // notices that nothing of it is there
		if _, err := r.ReadLeaf(0, make([]byte, 100)); !errors.Is(err, store.ErrChanged) {
			t.Error(err)
		}
		r.Close()
	}
	if err := s.DropVersions(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.OpenRoot(first.Root); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("nothing is left of it: %v", err)
	}
	if n, err := s.Garbage(); n != 0 || err != nil {
		t.Errorf("%d rows of garbage, %v", n, err)
	}
}

// TestMove moves shares and tells the store: nothing is hashed, unless it may be something else.
func TestMove(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir(), always())
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	makeTree(t, from, map[string]string{"a": string(content(1, 3<<20)), "b": string(content(2, 1<<20)), "sub/c": "small"})
	sh := share(t, s, from, chunker.Config{})
	inside := share(t, s, filepath.Join(from, "sub"), chunker.Config{})
	if _, err := s.Move(ctx, from, to, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing is there: %v", err)
	}
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Survey(ctx); err != nil { // marks all files as gone
		t.Fatal(err)
	}
	moved, err := s.Move(ctx, from, to, nil)
	if err != nil || len(moved) != 2 {
		t.Fatalf("%+v, %v", moved, err)
	}
	for i, want := range []store.Share{sh, inside} {
		m := moved[i]
		if !m.Share.Root.Equals(want.Root) || m.Bytes != 0 || m.OK != want.Files || m.Share.State != store.Complete || m.Share.Have != want.Leaves {
			t.Errorf("%+v", m)
		}
		if err := readAll(s, want); err != nil {
			t.Error(err)
		}
	}
	if moved[0].Share.Name != "to" || moved[0].Share.Path != to || moved[1].Share.Path != filepath.Join(to, "sub") {
		t.Errorf("%+v", moved)
	}

	// A copy is hashed, an edited file found.
	copied := filepath.Join(dir, "copied")
	makeTree(t, copied, map[string]string{"a": string(content(1, 3<<20)), "b": "edited", "sub/c": "small"})
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	moved, err = s.Move(ctx, to, copied, nil)
	if err != nil || len(moved) != 2 || moved[0].OK != 2 || len(moved[0].Bad) != 1 || moved[0].Bytes < 3<<20 {
		t.Fatalf("%+v, %v", moved, err)
	}

	// A file by itself: a rename sets its time of change.
	lone, film := filepath.Join(dir, "lone"), filepath.Join(dir, "film")
	makeTree(t, dir, map[string]string{"lone": string(content(9, 2<<20)), "other": "something else"})
	share(t, s, lone, chunker.Config{})
	if err := os.Rename(lone, film); err != nil {
		t.Fatal(err)
	}
	if m, err := s.Move(ctx, lone, film, nil); err != nil || m[0].Bytes != 0 || m[0].OK != 1 {
		t.Errorf("%+v, %v", m, err)
	}
	// One that was edited before the move, its time put back, is found by the next verify, however often it is moved.
	edited, last := filepath.Join(dir, "edited"), filepath.Join(dir, "last")
	makeTree(t, dir, map[string]string{"edited": string(content(10, 2<<20))})
	sh = share(t, s, edited, chunker.Config{})
	fi, err := os.Stat(edited)
	if err != nil {
		t.Fatal(err)
	}
	makeTree(t, dir, map[string]string{"edited": string(content(11, 2<<20))})
	if err := os.Chtimes(edited, fi.ModTime(), fi.ModTime()); err != nil {
		t.Fatal(err)
	}
	for _, m := range [][2]string{{edited, last}, {last, edited}} {
		if err := os.Rename(m[0], m[1]); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Move(ctx, m[0], m[1], nil); err != nil {
			t.Error(err)
		}
	}
	if report, err := s.Verify(ctx, sh.Root, false, nil); err != nil || len(report.Bad) != 1 {
		t.Errorf("edited and moved: %+v, %v", report, err)
	}

	if _, err := s.Move(ctx, film, filepath.Join(dir, "other"), nil); !errors.Is(err, store.ErrChanged) {
		t.Errorf("something else: %v", err)
	}
	if _, err := s.Move(ctx, film, copied, nil); !errors.Is(err, store.ErrTaken) {
		t.Errorf("another share: %v", err)
	}
	if n, err := s.Garbage(); n != 0 || err != nil {
		t.Errorf("%d rows of garbage, %v", n, err)
	}
}

// TestMoveSome moves a directory with several shares, one of which went elsewhere: that one stays as it was, with the
// reason, and does not keep the others from their new place.
func TestMoveSome(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir(), always())
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	makeTree(t, from, map[string]string{"a": "first", "b": "second", "c": "third"})
	gone := share(t, s, filepath.Join(from, "a"), chunker.Config{})
	var others []store.Share
	for _, name := range []string{"b", "c"} {
		others = append(others, share(t, s, filepath.Join(from, name), chunker.Config{}))
	}
	if err := errors.Join(os.Remove(filepath.Join(from, "a")), os.Rename(from, to)); err != nil {
		t.Fatal(err)
	}
	moved, err := s.Move(ctx, from, to, nil)
	if err != nil || len(moved) != 3 {
		t.Fatalf("%+v, %v", moved, err)
	}
	if m := moved[0]; !m.Share.Root.Equals(gone.Root) || len(m.Bad) != 1 || m.Share.Path != gone.Path {
		t.Errorf("%+v", m)
	}
	for i, want := range others {
		if m := moved[i+1]; !m.Share.Root.Equals(want.Root) || len(m.Bad) != 0 || filepath.Dir(m.Share.Path) != to {
			t.Errorf("%+v", m)
		}
		if err := readAll(s, want); err != nil {
			t.Error(err)
		}
	}
	if moved, err = s.Move(ctx, from, to, nil); !errors.Is(err, store.ErrChanged) {
		t.Errorf("what is left: %+v, %v", moved, err)
	}
}

// TestPlaceThatIsGone: nothing at a path is no issue where the root is whole at another one, and sharing that forgets the path, but only
// while the disk that it was on is there.
func TestPlaceThatIsGone(t *testing.T) {
	far := otherDisk(t)
	if far == "" {
		t.Skip("there is no second file system to write to (/dev/shm)")
	}
	dir := t.TempDir()
	mount, near, copied := filepath.Join(dir, "mount"), filepath.Join(dir, "near", "film"), filepath.Join(dir, "copy")
	if err := errors.Join(os.Symlink(far, mount), os.Mkdir(filepath.Dir(near), 0o755)); err != nil {
		t.Fatal(err)
	}
	away := filepath.Join(mount, "film")
	s := open(t, t.TempDir(), always())
	var root cid.Cid
	for _, path := range []string{away, near, copied} {
		if err := os.WriteFile(path, content(3, 2<<20), 0o644); err != nil {
			t.Fatal(err)
		}
		root = share(t, s, path, chunker.Config{}).Root
	}
	if err := errors.Join(os.RemoveAll(filepath.Dir(near)), os.Remove(mount), os.Mkdir(mount, 0o755)); err != nil { // the disk is unmounted
		t.Fatal(err)
	}
	check := func(gone ...string) {
		t.Helper()
		r, err := s.Verify(t.Context(), root, false, nil)
		if err != nil || !slices.Equal(r.Gone, gone) || len(r.Bad) != 1 || r.Bad[0].Place != away {
			t.Errorf("%+v, %v", r, err)
		}
		err = s.VerifyAll(t.Context(), false, func(_ store.Share, all store.VerifyReport, err error) error {
			if all.Bytes = r.Bytes; !reflect.DeepEqual(all, r) {
				t.Errorf("of all: %+v, %v", all, err)
			}
			return err
		}, nil)
		if err != nil {
			t.Error(err)
		}
	}
	check(near)
	im := s.Import()
	tree, err := chunker.Build(t.Context(), copied, chunker.Config{}, im.PutNode)
	if err != nil {
		t.Fatal(err)
	}
	if sh, err := im.Commit(t.Context(), tree, copied, ""); err != nil || len(sh.Places) != 2 || !slices.Equal(im.Gone(), []string{near}) {
		t.Errorf("%+v, %v, %v", sh.Places, im.Gone(), err)
	}
	check()
	if err := os.Remove(copied); err != nil { // now nothing is whole
		t.Fatal(err)
	}
	if r, err := s.Verify(t.Context(), root, false, nil); err != nil || len(r.Bad) != 2 || r.Gone != nil {
		t.Errorf("%+v, %v", r, err)
	}
	if err := errors.Join(os.Remove(mount), os.Symlink(far, mount)); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Verify(t.Context(), root, false, nil); err != nil || len(r.Bad) != 0 || !slices.Equal(r.Gone, []string{copied}) {
		t.Errorf("mounted again: %+v, %v", r, err)
	}
}
