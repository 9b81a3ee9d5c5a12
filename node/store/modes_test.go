//go:build unix

package store_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"shoal/chunker"
	"shoal/node/store"
)

// closedTree shares a tree with directories that nobody may write to or look into.
func closedTree(t *testing.T) (*store.Store, store.Share) {
	t.Helper()
	s := open(t, t.TempDir(), always())
	dir := filepath.Join(t.TempDir(), "tree")
	makeTree(t, dir, map[string]string{"d/ro": "x", "d/in/deep": "y", "e/f": "z", "top": "w"})
	chmodAll(t, dir, 0o555)
	t.Cleanup(func() { chmodAll(t, dir, 0o755) })
	return s, share(t, s, dir, chunker.Config{Preserve: true})
}

func chmodAll(t *testing.T, dir string, mode os.FileMode) {
	t.Helper()
	for _, name := range []string{"", "d", "d/in", "e"} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

// runsAsNobody runs the test again as a user whom modes bind, and tells that it has: they do not bind root.
func runsAsNobody(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		return false
	}
	const nobody = 65534
	tmp, err := os.MkdirTemp("", "nobody")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(tmp) })
	if err := os.Chown(tmp, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "HOME="+tmp)
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Skipf("root cannot be another user here: %v", err)
	}
	if err != nil {
		t.Fatalf("as nobody: %v\n%s", err, out)
	}
	return true
}

// TestClosedDirs: a Finish that was cut short leaves directories that may not be written to; the next one, and whoever gives
// the download up, gets into them.
func TestClosedDirs(t *testing.T) {
	if runsAsNobody(t) {
		return
	}
	src, sh := closedTree(t)
	home, to := t.TempDir(), t.TempDir()
	dst := open(t, home, always())
	tgt := store.Target{Root: sh.Root, Dir: to, Name: "copy"}
	t.Cleanup(func() { chmodAll(t, filepath.Join(to, "copy"), 0o755) })

	cutShort := func() {
		t.Helper()
		d := begin(t, dst, tgt)
		if err := pump(t, openRoot(t, src, sh.Root), d, nil); err != nil {
			t.Fatal(err)
		}
		obstacle := filepath.Join(to, "copy")
		if err := os.WriteFile(obstacle, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Finish(context.Background()); !errors.Is(err, store.ErrExists) {
			t.Fatal(err)
		}
		if err := errors.Join(d.Close(), os.Remove(obstacle)); err != nil {
			t.Fatal(err)
		}
	}
	cutShort()
	if fi, err := os.Stat(filepath.Join(to, "copy.part", "d")); err != nil || fi.Mode().Perm() != 0o555 {
		t.Fatalf("the .part was not dressed: %v, %v", fi, err)
	}
	if err := dst.Remove(sh.Root); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(to, "copy.part")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the .part is left: %v", err)
	}
	cutShort()
	chmodAll(t, filepath.Join(to, "copy.part"), 0o755)
	if err := os.RemoveAll(filepath.Join(to, "copy.part", "d")); err != nil { // is made anew
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(to, "copy.part"), 0); err != nil {
		t.Fatal(err)
	}
	got := fetch(t, src, dst, tgt)
	for _, name := range []string{"", "d", "d/in", "e"} {
		if fi, err := os.Stat(filepath.Join(got.Path, name)); err != nil || fi.Mode().Perm() != 0o555 {
			t.Errorf("%q: %v, %v", name, fi, err)
		}
	}
	servesAll(t, dst, sh.Root, []byte("yxzw"))
}

// TestClosedSelection: parts of such a tree that are fetched one by one come together.
func TestClosedSelection(t *testing.T) {
	src, sh := closedTree(t)
	to := t.TempDir()
	dst := open(t, t.TempDir(), always())
	t.Cleanup(func() { chmodAll(t, filepath.Join(to, "copy"), 0o755) })
	for _, part := range []string{"d", "e"} {
		fetch(t, src, dst, store.Target{Root: sh.Root, Dir: to, Name: "copy", Select: []string{part}})
	}
	sameTree(t, readTree(t, filepath.Join(to, "copy")), map[string]string{"d/ro": "x", "d/in/deep": "y", "e/f": "z"})
}
