package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"shoal/chunker"
	"shoal/node/store"

	"github.com/ipfs/go-cid"
)

// open opens a store that is closed at the end of the test.
func open(t testing.TB, home string, cfg store.Config) *store.Store {
	t.Helper()
	s, err := store.Open(home, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return s
}

// always checks the stat of a file before every leaf.
func always() store.Config { return store.Config{CheckEvery: -1} }

// share hashes path and commits it.
func share(t testing.TB, s *store.Store, path string, cfg chunker.Config) store.Share {
	t.Helper()
	im := s.Import()
	tree, err := chunker.Build(context.Background(), path, cfg, im.PutNode)
	if err != nil {
		t.Fatal(err)
	}
	sh, err := im.Commit(context.Background(), tree, path, "")
	if err != nil {
		t.Fatal(err)
	}
	return sh
}

// content is n reproducible random bytes.
func content(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	r.Read(b)
	return b
}

// makeTree writes files: a name that ends in / is a directory, a value after "->" a
// symlink, all else content.
func makeTree(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		path, v := filepath.Join(dir, name), files[name]
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch target, link := strings.CutPrefix(v, "->"); {
		case strings.HasSuffix(name, "/"):
			err = errors.Join(err, os.MkdirAll(path, 0o755))
		case link:
			err = errors.Join(err, os.Symlink(target, path))
		default:
			err = errors.Join(err, os.WriteFile(path, []byte(v), 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// readTree is the opposite of makeTree.
func readTree(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		switch {
		case e.IsDir():
			if kids, _ := os.ReadDir(p); len(kids) == 0 {
				out[rel+"/"] = ""
			}
		case e.Type() == fs.ModeSymlink:
			target, err := os.Readlink(p)
			out[rel] = "->" + target
			return err
		default:
			b, err := os.ReadFile(p)
			out[rel] = string(b)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func sameTree(t testing.TB, got, want map[string]string) {
	t.Helper()
	for name, v := range want {
		if g, ok := got[name]; !ok {
			t.Errorf("%s is missing", name)
		} else if g != v {
			t.Errorf("%s differs: %.40q (%d bytes), want %.40q (%d bytes)", name, g, len(g), v, len(v))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is too much", name)
		}
	}
}

// pump moves nodes, and then leaves as long as more says so, from src to d.
func pump(t testing.TB, src *store.Root, d *store.Download, more func(i int) bool) error {
	t.Helper()
	if err := pumpNodes(t, src, d); err != nil {
		return err
	}
	buf := make([]byte, 2<<20)
	n, _ := d.Leaves()
	for i := range n {
		if !d.Wanted(i) || d.Has(i) {
			continue
		}
		if more != nil && !more(i) {
			return nil
		}
		size, err := src.ReadLeaf(i, buf)
		if err != nil {
			return fmt.Errorf("read leaf %d: %w", i, err)
		}
		if err := d.Write(i, buf[:size]); err != nil {
			return err
		}
	}
	return nil
}

func pumpNodes(t testing.TB, src *store.Root, d *store.Download) error {
	t.Helper()
	for {
		want, missing := d.NextNode()
		if !missing {
			return nil
		}
		block, err := src.Node(d.Nodes())
		if err != nil {
			return fmt.Errorf("node %d %s: %w", d.Nodes(), want, err)
		}
		err = d.AddNode(block)
		if errors.Is(err, store.ErrUnsettled) {
			err = d.Settle(context.Background(), nil)
		}
		if err != nil {
			return err
		}
	}
}

// openRoot opens root for serving until the end of the test.
func openRoot(t testing.TB, s *store.Store, root cid.Cid) *store.Root {
	t.Helper()
	r, err := s.OpenRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// fetch downloads root from src into tgt and finishes it.
func fetch(t testing.TB, src, dst *store.Store, tgt store.Target) store.Share {
	t.Helper()
	d, err := dst.Download(context.Background(), tgt, chunker.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if err := pump(t, openRoot(t, src, tgt.Root), d, nil); err != nil {
		t.Fatal(err)
	}
	sh, err := d.Finish(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return sh
}

// servesAll reads every leaf of root and compares the bytes with want.
func servesAll(t testing.TB, s *store.Store, root cid.Cid, want []byte) {
	t.Helper()
	r := openRoot(t, s, root)
	var got bytes.Buffer
	buf := make([]byte, 2<<20)
	for i := range r.Leaves() {
		n, err := r.ReadLeaf(i, buf)
		if err != nil {
			t.Fatal(err)
		}
		got.Write(buf[:n])
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("served %d bytes that differ from the %d of the file", got.Len(), len(want))
	}
}

// sampleTree has all that a tree can hold: nested, empty, hidden, repeated and large
// files, an empty directory, symlinks inside, outside and to nowhere.
func sampleTree() map[string]string {
	big := string(content(1, 3<<20+17))
	return map[string]string{
		"a.txt": "alpha", "b/c/d.txt": "delta", "b/c/e.txt": "echo", ".hidden": "dot", "empty": "", "b/empty2": "",
		"big.bin": big, "copy/big.bin": big, "void/": "", "twin1": "same bytes", "b/twin2": "same bytes",
		"in": "->b/c/d.txt", "out": "->/etc/passwd", "dangling": "->../../nowhere", "ünï cødé ☃": "snow", `back\slash`: "bs",
		"zeros": string(make([]byte, 5<<20)),
	}
}

func TestShareAndServe(t *testing.T) {
	rows := []struct {
		name string
		size int
	}{
		{"empty", 0}, {"one byte", 1}, {"a chunk", 1 << 20}, {"a chunk and a byte", 1<<20 + 1}, {"many chunks", 7<<20 + 5},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s := open(t, t.TempDir(), always())
			path := filepath.Join(t.TempDir(), "file.bin")
			data := content(7, row.size)
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
			sh := share(t, s, path, chunker.Config{})
			if sh.State != store.Complete || sh.Size != int64(row.size) || sh.Files != 1 || sh.Have != sh.Leaves || sh.Name != "file.bin" || sh.Path != path {
				t.Errorf("share is %+v", sh)
			}
			servesAll(t, s, sh.Root, data)
			r := openRoot(t, s, sh.Root)
			if r.Have() != nil || !r.Complete() || r.Name() != "file.bin" {
				t.Errorf("root: have %v, complete %v, name %q", r.Have(), r.Complete(), r.Name())
			}
			if _, err := r.Node(1 << 20); err != io.EOF {
				t.Errorf("node past the end: %v", err)
			}
			if _, err := r.ReadLeaf(r.Leaves(), make([]byte, 1)); !errors.Is(err, store.ErrNotHave) {
				t.Errorf("leaf past the end: %v", err)
			}
			if row.size > 1 {
				if _, err := r.ReadLeaf(0, make([]byte, 1)); err != io.ErrShortBuffer {
					t.Errorf("short buffer: %v", err)
				}
			}
		})
	}
}

func TestFetch(t *testing.T) {
	src, dst := open(t, t.TempDir(), always()), open(t, t.TempDir(), always())
	from, to := filepath.Join(t.TempDir(), "tree"), t.TempDir()
	makeTree(t, from, sampleTree())
	sh := share(t, src, from, chunker.Config{})
	got := fetch(t, src, dst, store.Target{Root: sh.Root, Dir: to, Name: "copy"})
	sameTree(t, readTree(t, filepath.Join(to, "copy")), sampleTree())
	if got.Path != filepath.Join(to, "copy") || got.State != store.Complete || got.Have != sh.Leaves || got.Size != sh.Size || got.Files != sh.Files || !got.Dir {
		t.Errorf("share is %+v, want as %+v", got, sh)
	}
	if names, _ := os.ReadDir(to); len(names) != 1 {
		t.Errorf("left beside the result: %v", names)
	}
	// The copy is served in turn.
	third := open(t, t.TempDir(), always())
	fetch(t, dst, third, store.Target{Root: sh.Root, Dir: t.TempDir(), Name: "again"})
	if l, err := dst.Layout(sh.Root); err != nil || !l.Complete() || l.Leaves() != sh.Leaves {
		t.Errorf("layout: %v", err)
	}
}

func TestFetchKinds(t *testing.T) {
	rows := []struct {
		name  string
		files map[string]string // "" is a lone file
	}{
		{"lone empty file", map[string]string{"": ""}},
		{"lone small file", map[string]string{"": "hello"}},
		{"lone large file", map[string]string{"": string(content(3, 2<<20+1))}},
		{"lone file of zeros", map[string]string{"": string(make([]byte, 70<<20))}},
		{"empty directory", map[string]string{"/": ""}},
		{"directory of empties", map[string]string{"a": "", "b/": "", "c/d": ""}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			src, dst := open(t, t.TempDir(), always()), open(t, t.TempDir(), always())
			from, to := filepath.Join(t.TempDir(), "x"), t.TempDir()
			lone, isLone := row.files[""]
			if isLone {
				if err := os.WriteFile(from, []byte(lone), 0o600); err != nil {
					t.Fatal(err)
				}
			} else {
				makeTree(t, from, row.files)
			}
			sh := share(t, src, from, chunker.Config{})
			got := fetch(t, src, dst, store.Target{Root: sh.Root, Dir: to, Name: "y"})
			if got.Size != sh.Size || got.Have != got.Leaves || got.State != store.Complete {
				t.Errorf("share is %+v, want as %+v", got, sh)
			}
			if isLone {
				if b, err := os.ReadFile(got.Path); err != nil || string(b) != lone {
					t.Errorf("content differs: %v", err)
				}
				return
			}
			want := row.files
			delete(want, "/")
			sameTree(t, readTree(t, got.Path), want)
		})
	}
}
