package store_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
	"golang.org/x/sys/unix"

	"shoal/chunker"
	"shoal/node/store"
)

// TestForceInherits: what replaces a file with Force has its permission bits, its owner and the attributes of the user, as a file and in
// a tree; modes that the share records come first.
func TestForceInherits(t *testing.T) {
	for _, row := range []struct {
		name string
		mode os.FileMode
		cfg  chunker.Config
		want os.FileMode
	}{
		{"private", 0o600, chunker.Config{}, 0o600},
		{"a program", 0o750, chunker.Config{}, 0o750},
		{"read-only", 0o444, chunker.Config{}, 0o444},
		{"recorded", 0o600, chunker.Config{Preserve: true}, 0o640},
	} {
		for _, sub := range []string{"", "d/f"} {
			t.Run(row.name+" "+sub, func(t *testing.T) {
				from, to := filepath.Join(t.TempDir(), "x"), t.TempDir()
				put := func(root, content string, mode os.FileMode) string {
					path := filepath.Join(root, filepath.FromSlash(sub))
					if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
						t.Fatal(err)
					}
					if err := os.Chmod(path, mode); err != nil {
						t.Fatal(err)
					}
					return path
				}
				put(from, "new", 0o640)
				old := put(filepath.Join(to, "x"), "old", row.mode)
				attr := unix.Setxattr(old, "user.note", []byte("mine"), 0) == nil
				if os.Geteuid() == 0 {
					if err := os.Chown(old, 1234, 4321); err != nil {
						t.Fatal(err)
					}
				}
				src, dst := open(t, t.TempDir(), always()), open(t, t.TempDir(), always())
				sh := share(t, src, from, row.cfg)
				fetch(t, src, dst, store.Target{Root: sh.Root, Dir: to, Name: "x", Force: true})
				fi, err := os.Stat(old)
				if err != nil || fi.Mode().Perm() != row.want {
					t.Errorf("mode %v, %v; want %v", fi.Mode(), err, row.want)
				}
				if b, err := os.ReadFile(old); string(b) != "new" {
					t.Errorf("%q, %v", b, err)
				}
				if st := fi.Sys().(*syscall.Stat_t); os.Geteuid() == 0 && (st.Uid != 1234 || st.Gid != 4321) {
					t.Errorf("owner %d:%d", st.Uid, st.Gid)
				}
				value := make([]byte, 10)
				if n, err := unix.Getxattr(old, "user.note", value); attr && string(value[:max(n, 0)]) != "mine" {
					t.Errorf("attribute %q, %v", value[:max(n, 0)], err)
				}
				servesAll(t, dst, sh.Root, []byte("new"))
			})
		}
	}
}

// TestForceWithAModeThatForbidsReading: attributes cannot be handed on to a file that its recorded mode does not let its owner read. It comes.
func TestForceWithAModeThatForbidsReading(t *testing.T) {
	if runsAsNobody(t) {
		return
	}
	from, to := filepath.Join(t.TempDir(), "x"), t.TempDir()
	old := filepath.Join(to, "x")
	if err := errors.Join(os.WriteFile(from, []byte("new"), 0o600), os.WriteFile(old, []byte("old"), 0o600)); err != nil {
		t.Fatal(err)
	}
	var node []byte
	_, err := chunker.Build(t.Context(), from, chunker.Config{Preserve: true}, func(_ cid.Cid, block []byte) error {
		node = bytes.Replace(block, []byte{7 << 3, 0x80, 3}, []byte{7 << 3, 0x80, 1}, 1) // what only root can share: 0200 for 0600
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	root, err := cid.V1Builder{Codec: cid.DagProtobuf, MhType: multihash.SHA2_256}.Sum(node)
	if err != nil {
		t.Fatal(err)
	}
	d := begin(t, open(t, t.TempDir(), always()), store.Target{Root: root, Dir: to, Name: "x", Force: true})
	if err := d.AddNode(node); err != nil && !errors.Is(err, store.ErrUnsettled) {
		t.Fatal(err)
	}
	if err := errors.Join(d.Settle(t.Context(), nil), d.Write(0, []byte("new"))); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(old); err != nil || fi.Mode().Perm() != 0o200 || fi.Size() != 3 {
		t.Errorf("%v, %v", fi, err)
	}
}
