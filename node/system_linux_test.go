package node

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"shoal/node/api"
)

// What shows processes and devices below a shared path is left out, and that is told; other mounts are shared.
func TestSystemIsNeverShared(t *testing.T) {
	dir := t.TempDir()
	n, _ := startNode(t, t.TempDir())
	for _, m := range []struct{ name, kind string }{{"proc", "proc"}, {"deep/sys", "sysfs"}, {"disk", "tmpfs"}} {
		at := filepath.Join(dir, m.name)
		if err := os.MkdirAll(at, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount(m.kind, at, m.kind, 0, ""); errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
			t.Skip("mounting needs root")
		} else if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Unmount(at, unix.MNT_DETACH) })
	}
	randomFile(t, dir, "f", 10)
	randomFile(t, dir, "disk/g", 10)
	var warned []string
	shared, err := n.Share(t.Context(), api.ShareRequest{Path: dir}, func(p api.Progress) {
		if p.Warning != nil {
			warned = append(warned, p.Warning.Path)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"deep/sys", "proc"}
	slices.Sort(shared.System)
	slices.Sort(warned)
	if shared.Files != 2 || shared.SkippedCount != 0 || !slices.Equal(shared.System, want) || !slices.Equal(warned, want) {
		t.Errorf("%+v, warned of %q", shared, warned)
	}
	if _, err := n.Share(t.Context(), api.ShareRequest{Path: filepath.Join(dir, "proc")}, nil); api.AsError(err).Code != api.Invalid {
		t.Errorf("shared by name: %v", err)
	}
}
