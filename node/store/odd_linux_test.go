package store_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"shoal/chunker"
	"shoal/node/store"
	"shoal/testnet/fault"
)

// oddDisk mounts a file system of a kind that has rules of its own for names, and skips without root, FUSE, or the tools: Debian's exfatprogs,
// exfat-fuse and ntfs-3g.
func oddDisk(t *testing.T, kind string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	run := func(name string, args ...string) string {
		out, err := exec.Command(name, args...).CombinedOutput()
		if errors.Is(err, exec.ErrNotFound) {
			t.Skipf("%s is not installed", name)
		}
		if err != nil {
			t.Skipf("%s %v: %v: %s", name, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run("truncate", "-s", "64M", image)
	switch kind {
	case "exfat":
		run("mkfs.exfat", image)
		device := run("losetup", "-f", "--show", image)
		t.Cleanup(func() { run("losetup", "-d", device) })
		run("mount.exfat-fuse", device, dir)
	case "ntfs":
		run("mkfs.ntfs", "-F", "-q", image)
		run("lowntfs-3g", "-o", "ignore_case,windows_names", image, dir)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

// TestOddNames fetches a tree whose names a disk takes for one another, or not at all: the rest arrives, and what does not is told; with Rename
// all of it arrives.
func TestOddNames(t *testing.T) {
	plain := map[string]string{"plain": "p", "e/deep/file": "f", "big": string(content(1, 3<<20))}
	odd := map[string]string{
		"README": "one", "Readme": "two", "a:b": "colon", "D/in": "upper", "D/other": "other", "d/in": "lower", "what?/x": "question", "link": "->plain", "e/Über": "u", "e/über": "v",
	}
	all := maps.Clone(plain)
	maps.Copy(all, odd)
	src, sh := tree(t, all, chunker.Config{})
	for _, kind := range []string{"exfat", "ntfs"} {
		t.Run(kind, func(t *testing.T) {
			disk := oddDisk(t, kind)
			for _, rename := range []bool{false, true} {
				to := filepath.Join(disk, map[bool]string{false: "left", true: "renamed"}[rename])
				if err := os.Mkdir(to, 0o755); err != nil {
					t.Fatal(err)
				}
				home := t.TempDir()
				dst := open(t, home, always())
				tgt := store.Target{Root: sh.Root, Dir: to, Name: "out", Rename: rename}
				d := begin(t, dst, tgt)
				half := 0
				if err := pump(t, openRoot(t, src, sh.Root), d, func(int) bool { half++; return half < 4 }); err != nil {
					t.Fatal(err)
				}
				if err := d.Close(); err != nil { // a resume knows the names again
					t.Fatal(err)
				}
				got := fetch(t, src, dst, tgt)
				names := readTree(t, got.Path)
				for name, v := range plain {
					if names[name] != v {
						t.Errorf("%s differs or is missing", name)
					}
				}
				var left []string
				for _, l := range got.Left {
					left = append(left, l.Path)
					if want := !rename && l.Path != "link"; l.Renamable != want {
						t.Errorf("%+v: renamable %v, want %v", l, l.Renamable, want)
					}
				}
				if left := strings.Join(left, " "); !rename && (!strings.Contains(left, "a:b") || !strings.Contains(left, "what?")) {
					t.Errorf("left out: %v", got.Left)
				}
				values := slices.Collect(maps.Values(names))
				for name, v := range odd {
					if rename && !strings.HasPrefix(v, "->") && !slices.Contains(values, v) {
						t.Errorf("%s is nowhere: %v, left out %v", name, slices.Collect(maps.Keys(names)), got.Left)
					}
				}
				if n := got.Files - (len(all) - 1); rename && n != 0 || !rename && n >= 0 {
					t.Errorf("%d files of %d", got.Files, len(all)-1)
				}
				if rename != (len(got.Renames) > 0) {
					t.Errorf("renamed: %v", got.Renames)
				}
				if !rename && slices.Contains(values, "one") == slices.Contains(values, "two") {
					t.Errorf("of two names for one file not just one arrived: %v", slices.Collect(maps.Keys(names)))
				}
				if rep, err := dst.Verify(context.Background(), sh.Root, true, nil); err != nil || rep.OK != rep.Files || rep.Files != got.Files {
					t.Errorf("verify: %+v, %v", rep, err)
				}
				again := fetch(t, src, dst, tgt)
				if again.LeftN != got.LeftN || again.Files != got.Files {
					t.Errorf("again: %+v, want %+v", again, got)
				}
				_, err := dst.Download(context.Background(), store.Target{Root: sh.Root, Dir: to, Name: "o:t", Fixed: true}, chunker.Limits{})
				if blocked := (*store.BlockedError)(nil); !errors.As(err, &blocked) || !blocked.Renamable || strings.Contains(err.Error(), "exists") {
					t.Errorf("a name that the user gave: %v", err)
				}
				if list, _ := os.ReadDir(to); len(list) != 1 {
					t.Errorf("left behind: %v", list)
				}
			}
		})
	}
}

// TestLongLink fetches a symlink whose target XFS does not take: it is left out and told, and the rest arrives.
func TestLongLink(t *testing.T) {
	src, sh := tree(t, map[string]string{"plain": "p", "d/long": "->" + strings.Repeat("x/", 700), "d/short": "->plain"}, chunker.Config{})
	disk := t.TempDir()
	fault.Format(t, disk, "xfs", 320<<20)
	got := fetch(t, src, open(t, t.TempDir(), always()), store.Target{Root: sh.Root, Dir: disk, Name: "out"})
	sameTree(t, readTree(t, got.Path), map[string]string{"plain": "p", "d/short": "->plain"})
	if len(got.Left) != 1 || got.Left[0].Path != "d/long" {
		t.Errorf("left out: %+v", got.Left)
	}
}
