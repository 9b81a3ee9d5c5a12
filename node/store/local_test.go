package store_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"shoal/chunker"
	"shoal/node/store"
)

// smallChunks makes many leaves of little data.
func smallChunks() chunker.Config {
	p := chunker.UnixFSV1_2025()
	p.ChunkSize = 64 << 10
	return chunker.Config{Profile: p}
}

// shareData shares a file of these bytes in a new store.
func shareData(t *testing.T, data []byte) (*store.Store, store.Share) {
	t.Helper()
	s := open(t, t.TempDir(), always())
	path := filepath.Join(t.TempDir(), "f.bin")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return s, share(t, s, path, smallChunks())
}

// news is what a session hears.
func news(t *testing.T, d *store.Download) (came, ask []int) {
	t.Helper()
	list := func(to *[]int) func(first, count int) {
		return func(first, count int) {
			for i := range count {
				*to = append(*to, first+i)
			}
		}
	}
	if err := d.News(list(&came), list(&ask)); err != nil {
		t.Fatal(err)
	}
	slices.Sort(came)
	slices.Sort(ask)
	return came, ask
}

// heldLeaves are those that are not to be asked of anybody.
func heldLeaves(d *store.Download) (held []int) {
	n, _ := d.Leaves()
	for i := range n {
		if d.Held(i) {
			held = append(held, i)
		}
	}
	return held
}

// TestHeld: what a local share has is held back from the network as soon as it is known, and brought or given up.
func TestHeld(t *testing.T) {
	const leaf = 64 << 10
	one := content(1, 10*leaf)
	two := slices.Clone(one)
	two[3*leaf+5] ^= 1
	all := []int{0, 1, 2, 4, 5, 6, 7, 8, 9}
	tests := []struct {
		name  string
		spoil func(path string) error
		asked []int
	}{
		{"copied", func(string) error { return nil }, nil},
		{"the file is gone", os.Remove, all},
		{"the file was edited", func(path string) error { return os.WriteFile(path, two[:leaf], 0o644) }, all},
		{"a chunk was edited in secret", func(path string) error {
			fi, err := os.Stat(path)
			if err != nil {
				return err
			}
			data := slices.Clone(one)
			data[7*leaf] ^= 1
			if err := os.WriteFile(path, data, 0o644); err != nil {
				return err
			}
			return os.Chtimes(path, fi.ModTime(), fi.ModTime())
		}, all},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dst, shOne := shareData(t, one)
			src, shTwo := shareData(t, two)
			d := begin(t, dst, store.Target{Root: shTwo.Root, Dir: t.TempDir(), Name: "two"})
			d.StopLocal()
			if err := pumpNodes(t, openRoot(t, src, shTwo.Root), d); err != nil {
				t.Fatal(err)
			}
			if held := heldLeaves(d); !slices.Equal(held, all) {
				t.Fatalf("held are %v", held)
			}
			if err := tt.spoil(shOne.Path); err != nil {
				t.Fatal(err)
			}
			if err := d.CopyLocal(context.Background()); err != nil {
				t.Fatal(err)
			}
			came, ask := news(t, d)
			want := slices.DeleteFunc(slices.Clone(all), func(i int) bool { return slices.Contains(tt.asked, i) })
			if !slices.Equal(came, want) || !slices.Equal(ask, tt.asked) || len(heldLeaves(d)) > 0 {
				t.Errorf("came %v, asked for %v, held %v", came, ask, heldLeaves(d))
			}
			finishWith(t, src, d, two)
		})
	}
}

// finishWith fetches the rest and compares the result.
func finishWith(t *testing.T, src *store.Store, d *store.Download, want []byte) {
	t.Helper()
	if err := pump(t, openRoot(t, src, d.Root()), d, nil); err != nil {
		t.Fatal(err)
	}
	sh, err := d.Finish(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(sh.Path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes differ from the %d wanted: %v", len(got), len(want), err)
	}
}

// TestRepeated: one Write serves all places of a leaf, however many there are, also when it is cut short.
func TestRepeated(t *testing.T) {
	const leaf, n = 64 << 10, 500
	pattern := content(1, 2*leaf)
	data := bytes.Repeat(pattern[:leaf], n)
	copy(data[leaf:], pattern[leaf:]) // leaf 1 is another one
	src, sh := shareData(t, data)
	dst := open(t, t.TempDir(), always())
	tgt := store.Target{Root: sh.Root, Dir: t.TempDir(), Name: "x"}
	d := begin(t, dst, tgt)
	d.StopLocal()
	if err := pumpNodes(t, openRoot(t, src, sh.Root), d); err != nil {
		t.Fatal(err)
	}
	if held := heldLeaves(d); len(held) != n-2 || held[0] != 2 {
		t.Fatalf("%d leaves are held", len(held))
	}
	d.LosePatience()
	if came, ask := news(t, d); len(came) != 0 || !slices.Equal(ask, []int{2}) {
		t.Errorf("after a long wait: came %v, asked for %v", came, ask)
	}
	if err := d.Write(2, pattern[:leaf]); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil { // before the others are written
		t.Fatal(err)
	}
	d = begin(t, dst, tgt)
	d.StopLocal()
	if got := len(heldLeaves(d)) + d.HaveCount(); got != n-1 { // leaf 1 is the only one to be asked for
		t.Errorf("%d leaves are held or had after a resume", got)
	}
	if err := d.CopyLocal(context.Background()); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if d.Has(i) != (i != 1) {
			t.Fatalf("leaf %d: %v", i, d.Has(i))
		}
	}
	if came, ask := news(t, d); len(came) != n-2 || len(ask) != 0 {
		t.Errorf("came %d, asked for %v", len(came), ask)
	}
	finishWith(t, src, d, data)
}

// TestRepeatedManyTimes: a million repeats are not looked through for each of them.
func TestRepeatedManyTimes(t *testing.T) {
	const n = 100_000
	p := chunker.UnixFSV1_2025()
	p.ChunkSize = 512
	src := open(t, t.TempDir(), always())
	path := filepath.Join(t.TempDir(), "f.bin")
	data := bytes.Repeat(content(1, 512), n)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	sh := share(t, src, path, chunker.Config{Profile: p})
	dst := open(t, t.TempDir(), always())
	d := begin(t, dst, store.Target{Root: sh.Root, Dir: t.TempDir(), Name: "x"})
	if err := pumpNodes(t, openRoot(t, src, sh.Root), d); err != nil {
		t.Fatal(err)
	}
	if err := d.Write(0, data[:512]); err != nil {
		t.Fatal(err)
	}
	if err := d.CopyLocal(context.Background()); err != nil {
		t.Fatal(err)
	}
	finishWith(t, src, d, data)
}

// TestZeros: zeros are not fetched. They are holes also where another program wrote into the .part.
func TestZeros(t *testing.T) {
	const leaf = 64 << 10
	data := make([]byte, 40*leaf+7)
	copy(data[3*leaf:], content(1, leaf+5))
	copy(data[40*leaf:], "the end")
	src, sh := shareData(t, data)
	dst := open(t, t.TempDir(), always())
	tgt := store.Target{Root: sh.Root, Dir: t.TempDir(), Name: "x"}
	d := begin(t, dst, tgt)
	if err := pumpNodes(t, openRoot(t, src, sh.Root), d); err != nil {
		t.Fatal(err)
	}
	var missing []int
	for i := range sh.Leaves {
		if !d.Has(i) {
			missing = append(missing, i)
		}
	}
	if !slices.Equal(missing, []int{3, 4, 40}) {
		t.Errorf("to be fetched: %v", missing)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(tgt.Dir, "x.part"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("garbage"), 20*leaf+3); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	finishWith(t, src, begin(t, dst, tgt), data)
	servesAll(t, dst, sh.Root, data)
	if rep, err := dst.Verify(context.Background(), sh.Root, true, nil); err != nil || rep.OK != 1 || rep.Bytes != int64(len(data)) {
		t.Errorf("verify: %+v, %v", rep, err)
	}
	again := begin(t, dst, store.Target{Root: sh.Root, Dir: tgt.Dir, Name: "x"})
	if n, _ := again.Leaves(); n != sh.Leaves || !again.Has(20) {
		t.Error("the destination is not taken for what it is")
	}
}

// TestAllZeros: nothing of such a file is ever written.
func TestAllZeros(t *testing.T) {
	data := make([]byte, 10*64<<10)
	src, sh := shareData(t, data)
	dst := open(t, t.TempDir(), always())
	d := begin(t, dst, store.Target{Root: sh.Root, Dir: t.TempDir(), Name: "x"})
	finishWith(t, src, d, data)
}

// TestShortened: a file that was cut off inside a hole is not whole.
func TestShortened(t *testing.T) {
	s := open(t, t.TempDir(), always())
	path := filepath.Join(t.TempDir(), "f.bin")
	if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 40<<20); err != nil {
		t.Fatal(err)
	}
	sh := share(t, s, path, chunker.Config{})
	if err := os.Truncate(path, 20<<20); err != nil {
		t.Fatal(err)
	}
	rep, err := s.Verify(context.Background(), sh.Root, true, nil)
	if err != nil || rep.OK != 0 || len(rep.Bad) != 1 || rep.Bad[0].BadLeaves != 20 {
		t.Errorf("%+v, %v", rep, err)
	}
}
