package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"shoal/chunker"
	"shoal/node/store"
)

// edits are what another program may do to a file of several leaves, of which leaf 1 is hit. $1 is the file.
var edits = []struct{ name, script string }{
	{"overwritten", `printf XXXXXXXX | dd of="$1" bs=1 seek=1048600 conv=notrunc status=none`},
	{"overwritten, time put back", `touch -r "$1" "$1.ref"; printf XXXXXXXX | dd of="$1" bs=1 seek=1048600 conv=notrunc status=none; touch -r "$1.ref" "$1"; rm "$1.ref"`},
	{"through a hard link", `ln "$1" "$1.link"; printf XXXXXXXX | dd of="$1.link" bs=1 seek=1048600 conv=notrunc status=none; rm "$1.link"`},
	{"a hole punched", `fallocate -p -o 1048576 -l 65536 "$1"`},
	{"truncated", `truncate -s 1048600 "$1"`},
	{"truncated and grown again", `s=$(stat -c %s "$1"); truncate -s 1048600 "$1"; truncate -s $s "$1"`},
	{"extended", `printf XXXXXXXX >>"$1"; printf XXXXXXXX | dd of="$1" bs=1 seek=1048600 conv=notrunc status=none`},
	{"replaced by a copy", `cp "$1" "$1.new"; printf XXXXXXXX | dd of="$1.new" bs=1 seek=1048600 conv=notrunc status=none; mv "$1.new" "$1"`},
}

// foreign lets another process work on a file.
func foreign(t *testing.T, script, path string) {
	t.Helper()
	if out, err := exec.Command("sh", "-ec", script, "sh", path).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
}

// comeToEnd fetches and finishes until nothing is missing, a few times.
func comeToEnd(t *testing.T, r *store.Root, d *store.Download) (rounds int) {
	t.Helper()
	for rounds = 1; rounds <= 3; rounds++ {
		if err := pump(t, r, d, nil); err != nil {
			t.Fatal(err)
		}
		_, err := d.Finish(context.Background())
		if err == nil {
			return rounds
		}
		if !errors.Is(err, store.ErrIncomplete) {
			t.Fatal(err)
		}
	}
	t.Fatal("it came to no end")
	return rounds
}

// trustSource shares a tree with a large and some small files; single: one large file.
func trustSource(t *testing.T, tree bool) (s *store.Store, sh store.Share, big []byte, rel string) {
	t.Helper()
	s = open(t, t.TempDir(), always())
	big = content(7, 6<<20+5)
	path := filepath.Join(t.TempDir(), "src")
	if !tree {
		if err := os.WriteFile(path, big, 0o644); err != nil {
			t.Fatal(err)
		}
		return s, share(t, s, path, chunker.Config{}), big, ""
	}
	makeTree(t, path, map[string]string{"d/big": string(big), "small": "small", "d/other": "other"})
	return s, share(t, s, path, chunker.Config{}), big, "d/big"
}

// TestForeignWrite lets another program write to a .part while it is fetched.
func TestForeignWrite(t *testing.T) {
	for _, e := range edits {
		for _, watched := range []bool{true, false} {
			for _, tree := range []bool{false, true} {
				name := e.name + map[bool]string{true: ", watched", false: ", not watched"}[watched] + map[bool]string{true: ", tree"}[tree]
				t.Run(name, func(t *testing.T) {
					src, sh, big, rel := trustSource(t, tree)
					to := t.TempDir()
					d := begin(t, open(t, t.TempDir(), always()), store.Target{Root: sh.Root, Dir: to, Name: "out"})
					if !watched {
						d.Unwatch()
					}
					r := openRoot(t, src, sh.Root)
					part := filepath.Join(to, "out.part", rel)
					if err := pump(t, r, d, func(i int) bool { return i < 5 }); err != nil {
						t.Fatal(err)
					}
					foreign(t, e.script, part)
					if !tree && e.name == "replaced by a copy" { // that file is another program's: it is left alone
						if err := pump(t, r, d, nil); err != nil {
							t.Fatal(err)
						}
						if _, err := d.Finish(context.Background()); !errors.Is(err, store.ErrIncomplete) {
							t.Errorf("finish: %v", err)
						}
						if err := pump(t, r, d, nil); !errors.Is(err, store.ErrExists) {
							t.Errorf("write: %v", err)
						}
						return
					}
					if rounds := comeToEnd(t, r, d); rounds < 2 {
						t.Error("what another program wrote was called right at once")
					}
					got, err := os.ReadFile(filepath.Join(to, "out", rel))
					if err != nil || string(got) != string(big) {
						t.Errorf("the result is wrong (%v)", err)
					}
				})
			}
		}
	}
}

// TestForeignWriteAtOnce has somebody edit small files of a .part as soon as they have their size: between our write and our look at the stat
// too, nothing wrong is taken for right.
func TestForeignWriteAtOnce(t *testing.T) {
	files, names := map[string]string{}, []string{}
	for i := range 300 {
		name := fmt.Sprintf("f%03d", i)
		files[name], names = string(content(uint64(i), 2000)), append(names, name)
	}
	src, sh := tree(t, files, chunker.Config{})
	for range 5 {
		to := t.TempDir()
		d := begin(t, open(t, t.TempDir(), always()), store.Target{Root: sh.Root, Dir: to, Name: "out"})
		r := openRoot(t, src, sh.Root)
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for i := 0; i < len(names); {
				select {
				case <-stop:
					return
				default:
				}
				path := filepath.Join(to, "out.part", names[i])
				if fi, err := os.Stat(path); err != nil || fi.Size() == 0 {
					continue
				}
				if f, err := os.OpenFile(path, os.O_WRONLY, 0); err == nil {
					f.WriteAt([]byte("edit"), 7)
					f.Close()
				}
				i++
			}
		}()
		if err := pump(t, r, d, nil); err != nil {
			t.Fatal(err)
		}
		close(stop)
		<-done
		for try := 1; ; try++ {
			_, err := d.Finish(context.Background())
			if err == nil {
				break
			}
			if !errors.Is(err, store.ErrIncomplete) || try > 3 {
				t.Fatal(err)
			}
			if err := pump(t, r, d, nil); err != nil {
				t.Fatal(err)
			}
		}
		sameTree(t, readTree(t, filepath.Join(to, "out")), files)
	}
}

// TestForeignWriteBetween lets another program write to a .part between two sessions: the first closed in order, or killed.
func TestForeignWriteBetween(t *testing.T) {
	for _, e := range edits {
		for _, killed := range []bool{false, true} {
			t.Run(e.name+map[bool]string{true: ", after a kill"}[killed], func(t *testing.T) {
				src, sh, big, rel := trustSource(t, true)
				home, to := t.TempDir(), t.TempDir()
				s := open(t, home, always())
				tgt := store.Target{Root: sh.Root, Dir: to, Name: "out"}
				d := begin(t, s, tgt)
				r := openRoot(t, src, sh.Root)
				if err := pump(t, r, d, func(i int) bool { return i < 5 }); err != nil {
					t.Fatal(err)
				}
				if err := d.Checkpoint(context.Background()); err != nil {
					t.Fatal(err)
				}
				if killed {
					left := filepath.Join(t.TempDir(), "home")
					if err := os.CopyFS(left, os.DirFS(home)); err != nil {
						t.Fatal(err)
					}
					home = left
				} else if err := errors.Join(d.Close(), s.Close()); err != nil {
					t.Fatal(err)
				}
				foreign(t, e.script, filepath.Join(to, "out.part", rel))
				again := begin(t, open(t, home, always()), tgt)
				if again.Has(1) || !strings.HasPrefix(e.name, "truncated") && !again.Has(0) {
					t.Errorf("leaf 0 is had: %v, leaf 1: %v; the second was damaged", again.Has(0), again.Has(1))
				}
				comeToEnd(t, r, again)
				got, err := os.ReadFile(filepath.Join(to, "out", rel))
				if err != nil || string(got) != string(big) {
					t.Errorf("the result is wrong (%v)", err)
				}
			})
		}
	}
}

// TestOwnWritesAreTrusted: what nobody else touches is not hashed twice, neither in one session nor over two.
func TestOwnWritesAreTrusted(t *testing.T) {
	if !canWatch(t) {
		t.Skip("no fanotify for this user and file system: Linux 5.13 and a local file system have it")
	}
	src, sh, _, _ := trustSource(t, true)
	to := t.TempDir()
	s := open(t, t.TempDir(), always())
	tgt := store.Target{Root: sh.Root, Dir: to, Name: "out"}
	d := begin(t, s, tgt)
	r := openRoot(t, src, sh.Root)
	if err := pump(t, r, d, func(i int) bool { return i < 5 }); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = begin(t, s, tgt)
	for range 2000 { // far more writes than the queue of events is long in files
		d.Checkpoint(context.Background())
	}
	if err := pump(t, r, d, nil); err != nil {
		t.Fatal(err)
	}
	if n := d.Doubted(); n != 0 {
		t.Errorf("%d files are doubted that nobody touched", n)
	}
	if _, err := d.Finish(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := d.Rehashed(); n != 0 {
		t.Errorf("%d leaves were hashed twice", n)
	}
}

func canWatch(t *testing.T) bool {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return store.CanWatch(f)
}

// TestUnprivileged runs the tests above as another user. It takes root to become one.
func TestUnprivileged(t *testing.T) {
	if os.Geteuid() != 0 || testing.Short() {
		t.Skip("takes root, and a while")
	}
	dir, err := os.MkdirTemp("", "unprivileged")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "store.test")
	in, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(bin, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(out, in)
	tmp := filepath.Join(dir, "tmp")
	if err = errors.Join(err, out.Close(), os.Chmod(dir, 0o755), os.Mkdir(tmp, 0o755), os.Chown(tmp, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "-test.v", "-test.run", "^Test(ForeignWrite|OwnWritesAreTrusted)$/^overwritten, watched$")
	cmd.Dir, cmd.Env = tmp, append(os.Environ(), "TMPDIR="+tmp, "HOME="+tmp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	text, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(text), "--- PASS: TestForeignWrite/overwritten,_watched") || !strings.Contains(string(text), "--- PASS: TestOwnWritesAreTrusted") {
		t.Errorf("%v: %s", err, text)
	}
}

// TestSymlinkForPart puts a symlink, or another directory, in the place of the .part of a tree.
func TestSymlinkForPart(t *testing.T) {
	for name, script := range map[string]string{
		"symlink":                    `mv "$1" "$1.away"; ln -s "$1.away" "$1"`,
		"another directory":          `mv "$1" "$1.away"; cp -a "$1.away" "$1"`,
		"directory within a symlink": `mv "$1/d" "$1.away"; ln -s "$1.away" "$1/d"`,
	} {
		t.Run(name, func(t *testing.T) {
			src, sh, _, _ := trustSource(t, true)
			to := t.TempDir()
			d := begin(t, open(t, t.TempDir(), always()), store.Target{Root: sh.Root, Dir: to, Name: "out"})
			r := openRoot(t, src, sh.Root)
			if err := pump(t, r, d, nil); err != nil {
				t.Fatal(err)
			}
			foreign(t, script, filepath.Join(to, "out.part"))
			if _, err := d.Finish(context.Background()); err == nil {
				t.Error("it was finished")
			}
			if fi, err := os.Lstat(filepath.Join(to, "out")); err == nil {
				t.Errorf("the result is a %v", fi.Mode().Type())
			}
		})
	}
}
