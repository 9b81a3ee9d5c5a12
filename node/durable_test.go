package node

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// TestPrivateFiles writes a file in either way where there is none, and where there is one.
func TestPrivateFiles(t *testing.T) {
	for _, row := range []struct {
		name  string
		write func(string, []byte) error
		want  string // of a second write
	}{{"replace", ReplaceFile, "new"}, {"create", createFile, "old"}} {
		dir := t.TempDir()
		path := filepath.Join(dir, "file")
		if err := errors.Join(row.write(path, []byte("old")), row.write(path, []byte("new"))); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != row.want {
			t.Errorf("%s: %q, %v", row.name, got, err)
		}
		info, err := os.Stat(path)
		if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", row.name, info, err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
			t.Errorf("%s leaves %v, %v", row.name, left, err)
		}
		if err := row.write(filepath.Join(dir, "nowhere", "file"), nil); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}
