package chunker

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
)

func TestIgnore(t *testing.T) {
	tests := []struct {
		name     string
		patterns string // separated by spaces
		out      []string
		in       []string
	}{
		{"a name anywhere", "*.tmp", []string{"a.tmp", "d/e/b.tmp"}, []string{"a.txt", "tmp"}},
		{"a directory only", "build/", []string{"build/", "d/build/"}, []string{"build"}},
		{"from the root on", "/notes", []string{"notes", "notes/"}, []string{"d/notes"}},
		{"a path", "d/*.txt", []string{"d/a.txt"}, []string{"a.txt", "e/d/a.txt", "d/e/a.txt"}},
		{"any depth", "d/**/x", []string{"d/x", "d/e/f/x"}, []string{"x"}},
		{"what is inside", "d/**", []string{"d/a", "d/e/a"}, []string{"d/"}},
		{"the last one decides", "*.log !keep.log", []string{"a.log"}, []string{"keep.log"}},
		{"hidden names", ".*", []string{".a", "d/.b/"}, []string{"a", "d/"}},
		{"alternatives", "*.{a,b}", []string{"x.a", "x.b"}, []string{"x.c"}},
		{"an escaped one", `\#a \!b`, []string{"#a", "!b"}, []string{"a"}},
		{"a path from here", "./a d/./b", []string{"a", "d/b"}, []string{"d/a", "b"}},
		{"a comment", "#a", nil, []string{"#a", "a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ig, err := ParseIgnore(strings.Fields(tt.patterns)...)
			if err != nil {
				t.Fatal(err)
			}
			for want, list := range map[bool][]string{true: tt.out, false: tt.in} {
				for _, rel := range list {
					if got := ig.leavesOut(strings.TrimSuffix(rel, "/"), strings.HasSuffix(rel, "/")); got != want {
						t.Errorf("%s is left out: %v", rel, got)
					}
				}
			}
		})
	}
	for _, bad := range []string{"", " ", "[a", "/", "a\nb", "!"} {
		if _, err := ParseIgnore(bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// A pattern says the same without the parts of its path that say nothing; one that leads out of the tree fits nothing.
func TestTidyPattern(t *testing.T) {
	for in, want := range map[string]string{
		"a": "a", "./a": "/a", "./a/": "/a/", "a/./b": "/a/b", "a//b/": "/a/b/", "!./a": "!/a", "/a": "/a", "a/b": "a/b", "build/": "build/", "./": "/",
		".": ".", "*.tmp": "*.tmp", "**/x": "**/x", "././a": "/a", "/./a": "/a",
	} {
		if got := TidyPattern(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]bool{"../x": true, "a/../b": true, "..": true, ".": true, "!../x": true, "..x": false, "a..": false, "/a/b/": false, "...": false} {
		if got := FitsNothing(in); got != want {
			t.Errorf("%s fits nothing: %v", in, got)
		}
	}
}

// treePaths builds dir and lists the files in it.
func treePaths(t *testing.T, dir string, cfg Config) ([]string, error) {
	t.Helper()
	tree, err := Build(context.Background(), dir, cfg, func(cid.Cid, []byte) error { return nil })
	if err != nil {
		return nil, err
	}
	var got []string
	for rel := range tree.Stats {
		got = append(got, rel)
	}
	slices.Sort(got)
	return got, nil
}

// TestIgnoreFiles leaves names out of a tree by files in it and by Config.Ignore.
func TestIgnoreFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		IgnoreFile: "*.tmp\n# nothing\n\n/top\nsecret/\n", "a": "", "b.tmp": "", "top": "", "secret/k": "",
		"d/top": "", "d/c.tmp": "", "d/" + IgnoreFile: "!c.tmp\n/e/x\n", "d/e/x": "", "d/e/y": "", "e/x": "",
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	ignore, err := ParseIgnore("y")
	if err != nil {
		t.Fatal(err)
	}
	got, err := treePaths(t, dir, Config{Ignore: ignore})
	want := []string{IgnoreFile, "a", "d/" + IgnoreFile, "d/c.tmp", "d/top", "e/x"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("tree of %v, %v, want %v", got, err, want)
	}
	// An ignore file that cannot be followed ends the build: what it leaves out must not be shared.
	for name, spoil := range map[string]func(path string) error{
		"bad pattern": func(path string) error { return os.WriteFile(path, []byte("ok\n[a\n"), 0o644) },
		"UTF-16":      func(path string) error { return os.WriteFile(path, []byte("\xff\xfea\x00\n\x00"), 0o644) },
		"Latin-1":     func(path string) error { return os.WriteFile(path, []byte("pr\xfcfung\n"), 0o644) },
		"NUL":         func(path string) error { return os.WriteFile(path, []byte("a\x00\n"), 0o644) },
		"symlink":     func(path string) error { return errors.Join(os.Remove(path), os.Symlink("../a", path)) },
		"directory":   func(path string) error { return errors.Join(os.RemoveAll(path), os.Mkdir(path, 0o755)) },
		"too large": func(path string) error {
			return errors.Join(os.RemoveAll(path), os.WriteFile(path, make([]byte, maxIgnoreFile+1), 0o644))
		},
	} {
		if err := spoil(filepath.Join(dir, "d", IgnoreFile)); err != nil {
			t.Fatal(err)
		}
		if got, err := treePaths(t, dir, Config{}); !errors.Is(err, ErrIgnoreFile) || !strings.Contains(err.Error(), "d/"+IgnoreFile) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// TestPatternsMoved holds patterns of a directory in the tree above it, and those of a tree in a directory of it.
func TestPatternsMoved(t *testing.T) {
	dir := "a[1]/b*"
	for _, tt := range []struct{ name, inDir, inTree string }{
		{"a name", "*.key", "a[1]/b*/**/*.key"},
		{"a directory", "build/", "a[1]/b*/**/build/"},
		{"a path", "/x/y", "/a[1]/b*/x/y"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			up, err := ParseIgnore(PatternBelow(dir, tt.inDir)...)
			if err != nil {
				t.Fatal(err)
			}
			down, err := ParseIgnore(tt.inDir)
			if err != nil {
				t.Fatal(err)
			}
			for _, rel := range []string{"a.key", "c/a.key", "build", "c/build", "x/y", "c/x/y", "z"} {
				for _, isDir := range []bool{false, true} {
					if got, want := up.leavesOut(dir+"/"+rel, isDir), down.leavesOut(rel, isDir); got != want {
						t.Errorf("%s is left out from above: %v, want %v", rel, got, want)
					}
					if up.leavesOut(rel, isDir) || up.leavesOut("a1/b/"+rel, isDir) {
						t.Errorf("%s is left out elsewhere", rel)
					}
				}
			}
		})
	}
	for _, tt := range []struct {
		dir, pattern string
		want         []string
	}{
		{"d", "*.key", []string{"*.key"}},
		{"d", "!*.key", []string{"!*.key"}},
		{"d", "/d/x/", []string{"/x/"}},
		{"d", "!/d/x", []string{"!/x"}},
		{"d/e", "d/*/x", []string{"/x"}},
		{"d/e", "d/**/x", []string{"/**/x"}},
		{"d/e", "/other/x", nil},
		{"d/e", "/d/e", nil},
		{"d", "d/**", []string{"/**"}},
		{"d", "/{d/x,y}/z", []string{"/x/z"}},
		{"d", "{d,e}/{x,{y,z}/\\{}", []string{"/x", "/{y,z}/\\{"}},
		{"d", "d/[{]/{x,y}", []string{"/[{]/{x,y}"}},
	} {
		got := PatternsWithin(tt.dir, tt.pattern)
		slices.Sort(got)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s in %s: %q, want %q", tt.pattern, tt.dir, got, tt.want)
		}
	}
}

// FuzzIgnore: any patterns are taken or refused, and what is taken can be asked.
func FuzzIgnore(f *testing.F) {
	for _, s := range []string{"*.tmp", "!/a/**/b/", `\ `, "{a,b", "[!a]", "a/**"} {
		f.Add(s, "d/a/b")
	}
	f.Fuzz(func(t *testing.T, pattern, rel string) {
		ig, err := ParseIgnore(pattern)
		if err == nil {
			ig.leavesOut(rel, true)
			ig.leavesOut(rel, false)
			for _, p := range append(PatternBelow(rel, pattern), PatternsWithin(rel, pattern)...) {
				if _, err := ParseIgnore(p); err != nil {
					t.Errorf("%q moved is %q: %v", pattern, p, err)
				}
			}
		} else if !errors.Is(err, ErrMalformed) {
			t.Error(err)
		}
	})
}
