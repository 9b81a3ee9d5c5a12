package chunker_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"shoal/chunker"
)

// TestLongPath looks at files of which the path is about as long as a system takes, shorter and longer, through symlinks above that lead
// anywhere: all of them are found, and what is wrong is said as the system says it.
func TestLongPath(t *testing.T) {
	base, elsewhere := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(elsewhere, "file"), []byte("elsewhere"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(base)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	rel := strings.Repeat(strings.Repeat("d", 200)+"/", 19)
	for _, length := range []int{4000, 4090, 4091, 4092, 4093, 4094, 4095, 4096, 4097, 4098, 4150, 4300, 9000} { // of the directory
		sub := rel
		for len(base)+1+len(sub) < length {
			sub += strings.Repeat("x", min(100, max(1, length-len(base)-len(sub)-2))) + "/"
		}
		sub = strings.TrimSuffix(sub, "/")
		if err := root.MkdirAll(sub, 0o700); err != nil {
			t.Fatal(err)
		}
		err := errors.Join(root.WriteFile(sub+"/file", []byte("here"), 0o600), root.Symlink(elsewhere, sub+"/away"), root.Symlink("file", sub+"/link"))
		if err != nil {
			t.Fatal(err)
		}
		dir := base + "/" + sub
		for name, want := range map[string]string{"file": "here", "link": "here", "away/file": "elsewhere", "/file": "here", "away//file": "elsewhere"} {
			f, err := chunker.OpenPath(dir+"/"+name, os.O_RDONLY)
			if err != nil {
				t.Errorf("%d: %s: %v", len(dir), name, errors.Unwrap(err))
				continue
			}
			data, err := io.ReadAll(f)
			if f.Close(); string(data) != want || err != nil {
				t.Errorf("%d: %s is %q, %v", len(dir), name, data, err)
			}
			fi, err := chunker.StatPath(dir + "/" + name)
			if err != nil || fi.Size() != int64(len(want)) || fi.Name() != filepath.Base(name) || !fi.Mode().IsRegular() {
				t.Errorf("%d: %s is %v, %v", len(dir), name, fi, err)
			}
		}
		if fi, err := chunker.LstatPath(dir + "/link"); err != nil || fi.Mode()&fs.ModeSymlink == 0 {
			t.Errorf("%d: a symlink is %v, %v", len(dir), fi, err)
		}
		if to, err := chunker.ReadlinkPath(dir + "/link"); to != "file" {
			t.Errorf("%d: the symlink leads to %q, %v", len(dir), to, err)
		}
		if fi, err := chunker.StatPath(dir + "/"); err != nil || !fi.IsDir() {
			t.Errorf("%d: the directory is %v, %v", len(dir), fi, err)
		}
		if _, err := chunker.LstatPath(dir + "/nothing"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%d: nothing: %v", len(dir), err)
		}
		if _, err := chunker.StatPath(dir + "/file/below"); !errors.Is(err, syscall.ENOTDIR) {
			t.Errorf("%d: below a file: %v", len(dir), err)
		}
		if _, err := chunker.OpenPath(dir+"/"+strings.Repeat("n", 256), os.O_RDONLY); !errors.Is(err, syscall.ENAMETOOLONG) {
			t.Errorf("%d: a name that is too long: %v", len(dir), err)
		}
		if _, err := chunker.StatPath(dir + "/" + strings.Repeat("n", 5000)); !errors.Is(err, syscall.ENAMETOOLONG) {
			t.Errorf("%d: a name that is longer than a path: %v", len(dir), err)
		}
		r, err := chunker.OpenRootPath(dir)
		if err != nil {
			t.Error(err)
			continue
		}
		if data, err := r.ReadFile("file"); string(data) != "here" {
			t.Errorf("%d: in the opened directory: %q, %v", len(dir), data, err)
		}
		r.Close()
	}
}
