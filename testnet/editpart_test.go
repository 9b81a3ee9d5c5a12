//go:build linux

package testnet_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/testnet"
)

// TestEditPart does the same to the .part of a fetch that is half done and goes on. What another program has put in its place stays; where
// that is in the way, the get says so, and completes when it has gone.
func TestEditPart(t *testing.T) {
	big(t)
	lab := testnet.Start(t, 2, testnet.Options{})
	fetcher := lab.Peers[1]
	for i, edit := range fileEdits {
		t.Run(edit.name, func(t *testing.T) {
			dir := fetcher.Path(strings.ReplaceAll(edit.name, " ", "-"))
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			original := testnet.RandomFile(t, filepath.Join(dir, "original"), 16*chunk, byte(100+i))
			g := newGate(t, 8)
			s := newSeed(t, lab, original, g.pass)
			dest := filepath.Join(dir, "dest")
			f := fetcher.Fetch(s.root.String(), dest)
			f.UntilBytes(7 * chunk)
			part := dest + ".part"
			if err := edit.do(part); err != nil {
				t.Fatal(err)
			}
			theirs, isTheirs := strange(part, edit)
			g.Open()
			r := f.Wait()
			rightIf(t, r, original, dest)
			if r.Code != 0 {
				t.Logf("the get hears: %s", r.Stderr)
				fetcher.Get(s.root.String(), dest)
			}
			lab.Same(original, dest, false)
			if v := fetcher.Run("verify", "--full", s.root.String()); v.Code != 0 {
				t.Errorf("%s", v)
			}
			if now, _ := strange(part, edit); isTheirs && now != theirs {
				t.Errorf("what another program put in the place of the .part was %s and is %s", theirs, now)
			}
		})
	}
}

// strange describes what another program has put at a path, if the edit did.
func strange(path string, edit fileEdit) (string, bool) {
	if !strings.HasPrefix(edit.name, "replace") {
		return "", false
	}
	fi, err := os.Lstat(path)
	if err != nil {
		return err.Error(), true
	}
	text := ""
	if fi.Mode().IsRegular() {
		b, _ := os.ReadFile(path)
		text = string(b[:min(len(b), 20)])
	}
	return fs.FormatFileInfo(fi) + text, true
}
