//go:build linux

package fault

import (
	"os"
	"os/exec"
	"testing"
)

// Format makes a file system of some bytes in a file beside dir and mounts it at dir, which it makes, for the length of the test. The kind
// is "ext4", "xfs", "exfat" (through FUSE) or "ntfs" (through FUSE); options are those of its mkfs: "-N", "16" gives ext4 16 inodes.
func Format(t testing.TB, dir, kind string, size int64, options ...string) {
	t.Helper()
	image := dir + ".img"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	f.Close()
	MakeFS(t, image, kind, options...)
	MountAt(t, image, dir, kind)
}

// MakeFS makes a file system of a kind on a device or in an image.
func MakeFS(t testing.TB, image, kind string, options ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making and mounting a file system takes root")
	}
	k, ok := kinds[kind]
	if !ok {
		t.Fatalf("no file system of kind %q is known", kind)
	}
	Need(t, "mkfs."+kind, k.pkg)
	args := append(append(append([]string{}, k.mkfs...), options...), image)
	if out, err := exec.Command("mkfs."+kind, args...).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.%s: %v\n%s", kind, err, out)
	}
}

// kinds says for each kind of file system what its mkfs takes so that it is quick and quiet, how it is mounted and what installs it.
var kinds = map[string]struct {
	pkg   string
	mkfs  []string
	mount []string // the program and its options, before the device and the directory
	needs string   // the package of the mount program
}{
	"ext4":  {"e2fsprogs", []string{"-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard"}, []string{"mount", "-t", "ext4"}, "mount"},
	"xfs":   {"xfsprogs", []string{"-q", "-f", "-K"}, []string{"mount", "-t", "xfs", "-o", "nouuid"}, "mount"},
	"exfat": {"exfatprogs", []string{"-q"}, []string{"mount.exfat-fuse"}, "exfat-fuse"},
	"ntfs":  {"ntfs-3g", []string{"-q", "-F", "-f"}, []string{"ntfs-3g"}, "ntfs-3g"},
}

// MountAt mounts a device or an image at dir until the test ends or the function it returns is called. It skips the test where such a
// file system cannot be mounted.
func MountAt(t testing.TB, image, dir, kind string) (unmount func()) {
	t.Helper()
	return mountAt(t, image, dir, kind, t.Skipf)
}

// MountAgain is MountAt of an image of such a file system that has been mounted: that this one cannot be fails the test. As its user
// would, it first mends an ext4 that a power cut has left with a torn superblock.
func MountAgain(t testing.TB, image, dir, kind string) (unmount func()) {
	t.Helper()
	if kind == "ext4" && exec.Command("dumpe2fs", "-h", image).Run() != nil {
		t.Logf("a torn superblock: e2fsck ends with %v", exec.Command("e2fsck", "-y", image).Run())
	}
	return mountAt(t, image, dir, kind, t.Fatalf)
}

func mountAt(t testing.TB, image, dir, kind string, cannot func(format string, args ...any)) (unmount func()) {
	t.Helper()
	k := kinds[kind]
	Need(t, k.mount[0], k.needs)
	args := append(append([]string{}, k.mount[1:]...), image, dir)
	if k.mount[0] == "mount" && !isDevice(image) {
		args = append([]string{"-o", "loop"}, args...)
	}
	if out, err := exec.Command(k.mount[0], args...).CombinedOutput(); err != nil {
		cannot("%s cannot be mounted here: %v: %s", kind, err, out)
	}
	done := false
	unmount = func() {
		if done {
			return
		}
		done = true
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount %s: %v: %s", dir, err, out)
			exec.Command("umount", "-l", dir).Run()
		}
	}
	t.Cleanup(unmount)
	return unmount
}

func isDevice(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode()&os.ModeDevice != 0
}
