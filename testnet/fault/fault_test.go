//go:build linux

package fault

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestFSReads(t *testing.T) {
	f := MountFS(t, filepath.Join(t.TempDir(), "mnt"))
	path := filepath.Join(f.Dir, "file")
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	must(t, os.WriteFile(path, data, 0o644))
	f.FailReads("file", 300000, 10)
	if _, err := os.ReadFile(path); !errors.Is(err, syscall.EIO) {
		t.Errorf("read across a bad range: %v, want EIO", err)
	}
	f.Heal()
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, data) {
		t.Errorf("healed, it reads otherwise (%v)", err)
	}
}

// TestNotInherited holds that no child keeps a mount alive whose server is gone.
func TestNotInherited(t *testing.T) {
	MountFS(t, filepath.Join(t.TempDir(), "mnt"))
	out, err := exec.Command("sh", "-c", "ls -l /proc/self/fd").CombinedOutput()
	must(t, err)
	if strings.Contains(string(out), "/dev/fuse") {
		t.Errorf("a child has it:\n%s", out)
	}
}

func TestFSRoom(t *testing.T) {
	f := MountFS(t, filepath.Join(t.TempDir(), "mnt"))
	f.SetRoom(1 << 20)
	if err := os.WriteFile(filepath.Join(f.Dir, "big"), make([]byte, 2<<20), 0o644); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v, want ENOSPC", err)
	}
}

func TestFSSync(t *testing.T) {
	f := MountFS(t, filepath.Join(t.TempDir(), "mnt"))
	file, err := os.Create(filepath.Join(f.Dir, "file"))
	must(t, err)
	defer file.Close()
	write := func(off int64, s string) { _, err := file.WriteAt([]byte(s), off); must(t, err) }
	write(0, "first")
	must(t, file.Sync())
	write(0, "FIRST")
	write(5000, "second")
	f.FailSyncs(true)
	if err := file.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("sync: %v, want EIO", err)
	}
	f.FailSyncs(false)
	must(t, file.Sync()) // nothing is dirty any more
	onDisk := func() string {
		b, err := os.ReadFile(filepath.Join(f.Backing, "file"))
		must(t, err)
		return string(b[:5]) + strings.Trim(string(b[5:]), "\x00")
	}
	if got, err := os.ReadFile(file.Name()); err != nil || string(got[:5]) != "FIRST" || string(got[5000:]) != "second" {
		t.Errorf("the cache has lost it: %q (%v)", got, err)
	}
	if got := onDisk(); got != "first" {
		t.Errorf("on the disk is %q", got)
	}
	write(5000, "second")
	must(t, file.Sync())
	if got := onDisk(); got != "firstsecond" {
		t.Errorf("after it was written again the disk has %q", got)
	}
	f.Forget()
	if got, _ := os.ReadFile(file.Name()); string(got[:5]) != "first" {
		t.Errorf("after a remount it reads %q", got[:5])
	}
}

func TestFSFoldsCase(t *testing.T) {
	f := MountFS(t, filepath.Join(t.TempDir(), "mnt"))
	f.FoldCase()
	must(t, os.WriteFile(filepath.Join(f.Dir, "README"), []byte("one"), 0o644))
	if _, err := os.OpenFile(filepath.Join(f.Dir, "Readme"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644); !errors.Is(err, os.ErrExist) {
		t.Errorf("created beside it: %v", err)
	}
	must(t, os.WriteFile(filepath.Join(f.Dir, "new"), []byte("two"), 0o644))
	must(t, os.Rename(filepath.Join(f.Dir, "new"), filepath.Join(f.Dir, "readme")))
	list, err := os.ReadDir(f.Dir)
	must(t, err)
	if len(list) != 1 || list[0].Name() != "README" {
		t.Errorf("it holds %v", list)
	}
	must(t, os.Mkdir(filepath.Join(f.Dir, "D"), 0o755))
	if err := os.Mkdir(filepath.Join(f.Dir, "d"), 0o755); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second directory: %v", err)
	}
}

func TestFSRefuses(t *testing.T) {
	f := MountFS(t, filepath.Join(t.TempDir(), "mnt"))
	f.Refuse(`:*?"<>|`, 100)
	if err := os.WriteFile(filepath.Join(f.Dir, "a:b"), nil, 0o644); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("a name with a colon: %v", err)
	}
	if err := os.Mkdir(filepath.Join(f.Dir, strings.Repeat("n", 101)), 0o755); !errors.Is(err, syscall.ENAMETOOLONG) {
		t.Errorf("a long name: %v", err)
	}
}

// TestDisk cuts the power under a file system: what was synced is there after it.
func TestDisk(t *testing.T) {
	for _, kind := range []string{"ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			d := NewDisk(t, filepath.Join(dir, "fuse"), 320<<20)
			MakeFS(t, d.Device, kind)
			mnt := filepath.Join(dir, "mnt")
			must(t, os.Mkdir(mnt, 0o755))
			unmount := MountAt(t, d.Device, mnt, kind)
			must(t, os.WriteFile(filepath.Join(mnt, "synced"), []byte("here"), 0o644))
			for _, name := range []string{"synced", "."} {
				file, err := os.Open(filepath.Join(mnt, name))
				must(t, err)
				must(t, file.Sync())
				file.Close()
			}
			must(t, os.WriteFile(filepath.Join(mnt, "not synced"), make([]byte, 1<<20), 0o644))
			image := filepath.Join(dir, "cut.img")
			must(t, d.CutNow(image, rand.New(rand.NewPCG(1, 1))))
			unmount()
			MountAgain(t, image, mnt, kind)
			if got, err := os.ReadFile(filepath.Join(mnt, "synced")); err != nil || string(got) != "here" {
				t.Errorf("what was synced is %q (%v)", got, err)
			}
			if got, err := os.ReadFile(filepath.Join(mnt, "not synced")); err == nil && len(got) == 1<<20 {
				t.Error("what was not synced survived: the disk loses nothing")
			}
		})
	}
}

func TestFormat(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mnt")
	Format(t, dir, "ext4", 8<<20, "-N", "16")
	var err error
	for i := range 20 {
		if err = os.WriteFile(filepath.Join(dir, strings.Repeat("f", i+1)), nil, 0o644); err != nil {
			break
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("more files than inodes: %v", err)
	}
}

func TestInject(t *testing.T) {
	args := Inject(t, filepath.Join(t.TempDir(), "trace"), []string{"mkdir", filepath.Join(t.TempDir(), "new")}, "mkdir:error=EROFS")
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err == nil || !strings.Contains(string(out), "Read-only") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestLimited(t *testing.T) {
	args := Limited(t, []string{"sh", "-c", "ulimit -n"}, "--nofile=64")
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "64" {
		t.Errorf("%v: %s", err, out)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
