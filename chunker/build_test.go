package chunker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"golang.org/x/crypto/chacha20"
)

// keystream is the input of the IPIP-499 vectors.
func keystream(t testing.TB, seed string) io.Reader {
	t.Helper()
	key := sha256.Sum256([]byte(seed))
	c, err := chacha20.NewUnauthenticatedCipher(key[:], make([]byte, chacha20.NonceSize))
	if err != nil {
		t.Fatal(err)
	}
	return cipherReader{c}
}

type cipherReader struct{ c *chacha20.Cipher }

func (r cipherReader) Read(p []byte) (int, error) {
	clear(p)
	r.c.XORKeyStream(p, p)
	return len(p), nil
}

// fill writes n bytes of seed's keystream to a file.
func fill(t testing.TB, path, seed string, n int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.CopyBuffer(f, struct{ io.Reader }{io.LimitReader(keystream(t, seed), n)}, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
}

// ramDir is a directory for large files, in memory where that is possible.
func ramDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "chunker")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestVectorsFiles(t *testing.T) {
	for _, tt := range []struct {
		name, seed string
		size       int64
		want       string
	}{
		{"at chunk size", "chunk-v1-seed", 1 << 20, "bafkreiacndfy443ter6qr2tmbbdhadvxxheowwf75s6zehscklu6ezxmta"},
		{"over chunk size", "chunk-v1-seed", 1<<20 + 1, "bafybeigmix7t42i6jacydtquhet7srwvgpizfg7gjbq7627d35mjomtu64"},
		{"at 1024 links", "v1-2025-seed", 1 << 30, "bafybeihmf37wcuvtx4hpu7he5zl5qaf2ineo2lqlfrapokkm5zzw7zyhvm"},
		{"over 1024 links", "v1-2025-seed", 1<<30 + 1, "bafybeibdsi225ugbkmpbdohnxioyab6jsqrmkts3twhpvfnzp77xtzpyhe"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if testing.Short() && tt.size >= 1<<30 {
				t.Skip("needs 1 GiB")
			}
			path := filepath.Join(ramDir(t), "f")
			fill(t, path, tt.seed, tt.size)
			b := build(t, path, Config{})
			if b.Root.String() != tt.want {
				t.Errorf("root is %s, want %s", b.Root, tt.want)
			}
			l, err := Walk(b.Root, Limits{}, b.get)
			if err != nil {
				t.Fatal(err)
			}
			if chunks := int((tt.size + 1<<20 - 1) >> 20); l.Leaves() != chunks {
				t.Errorf("%d leaves, want %d", l.Leaves(), chunks)
			}
		})
	}
}

func TestVectorText(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hello")
	write(t, path, "hello world")
	if b := build(t, path, Config{}); b.Root.String() != "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e" {
		t.Errorf("root is %s", b.Root)
	}
}

func TestVectorsDirectories(t *testing.T) {
	const alphabet = "abcdefghijklmnopqrstuvwxyz01234567890-_"
	for _, tt := range []struct {
		name string
		last int
		want string
	}{
		{"basic at the threshold", 21, "bafybeic3h7rwruealwxkacabdy45jivq2crwz6bufb5ljwupn36gicplx4"},
		{"HAMT above it", 22, "bafybeiegvuterwurhdtkikfhbxcldohmxp566vpjdofhzmnhv6o4freidu"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := ramDir(t)
			stream := keystream(t, "hamt-unixfs-v1-2025")
			for i := range 4766 {
				name := make([]byte, 11)
				if i == 4765 {
					name = make([]byte, tt.last)
				}
				stream.Read(name)
				for i, b := range name {
					name[i] = alphabet[b%39]
				}
				write(t, filepath.Join(dir, string(name)), "x")
			}
			b := build(t, dir, Config{})
			if b.Root.String() != tt.want {
				t.Errorf("root is %s, want %s", b.Root, tt.want)
			}
			l, err := Walk(b.Root, Limits{}, b.get)
			if err != nil {
				t.Fatal(err)
			}
			if l.Leaves() != 4766 || l.Size() != 4766 || len(l.Entries()) != 4767 {
				t.Errorf("walk finds %d leaves, %d bytes, %d entries", l.Leaves(), l.Size(), len(l.Entries()))
			}
		})
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestFileLikeBoxo(t *testing.T) {
	type row struct {
		profile Profile
		sizes   []int
	}
	var rows []row
	for _, p := range []Profile{small(64, 2), small(100, 4), small(1024, 5), small(7, 1024), small(1<<20+3, 4)} {
		r := row{profile: p}
		for _, chunks := range []int{0, 1, 2, 3, p.LinksPerNode, p.LinksPerNode * p.LinksPerNode, p.LinksPerNode * p.LinksPerNode * p.LinksPerNode} {
			if chunks*p.ChunkSize > 20<<20 || chunks > 5000 {
				continue
			}
			for _, d := range []int{-1, 0, 1, p.ChunkSize + 1} {
				if n := chunks*p.ChunkSize + d; n >= 0 {
					r.sizes = append(r.sizes, n)
				}
			}
		}
		rows = append(rows, r)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		rows = append(rows, row{small(1+rnd.IntN(2000), 2+rnd.IntN(20)), []int{rnd.IntN(300_000)}})
	}
	rows = append(rows, row{UnixFSV1_2025(), []int{0, 1, 1<<20 - 1, 1 << 20, 1<<20 + 1, 5<<20 + 5}})
	dir := ramDir(t)
	for _, r := range rows {
		for _, size := range r.sizes {
			for _, preserve := range []bool{false, true} {
				path := filepath.Join(dir, "f")
				fill(t, path, "file", int64(size))
				name := fmt.Sprintf("%d of %d by %d preserve=%v", size, r.profile.ChunkSize, r.profile.LinksPerNode, preserve)
				b := compare(t, path, Config{Profile: r.profile, Preserve: preserve, Workers: 3})
				if t.Failed() {
					t.Fatal(name)
				}
				checkAgainst(t, b, path)
			}
		}
	}
}

func TestFileLikeBoxoLarge(t *testing.T) {
	if testing.Short() {
		t.Skip("needs 1 GiB")
	}
	for _, size := range []int64{1<<30 - 1, 1 << 30, 1<<30 + 1, 1<<30 + 1<<20 + 1} {
		path := filepath.Join(ramDir(t), "f")
		fill(t, path, "large", size)
		compare(t, path, Config{})
		os.Remove(path)
	}
}

// checkAgainst walks the DAG of b and compares what it says with the tree at path.
func checkAgainst(t *testing.T, b *built, path string) *Layout {
	t.Helper()
	l, err := Walk(b.Root, Limits{}, b.get)
	if err != nil {
		t.Fatalf("Walk: %v", err)
	}
	if !l.Complete() || len(b.skipped) == 0 && l.Size() >= 0 && l.Size() != b.Size {
		t.Fatalf("complete %v, size %d, built %d", l.Complete(), l.Size(), b.Size)
	}
	files := 0
	leaf := 0
	for i, e := range l.Entries() {
		abs := filepath.Join(path, filepath.FromSlash(e.Path))
		fi, err := os.Lstat(abs)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := l.Find(e.Path); !ok || got != e {
			t.Errorf("Find(%q) = %+v, %v", e.Path, got, ok)
		}
		switch e.Kind {
		case Dir:
			if !fi.IsDir() {
				t.Errorf("%q is no directory", e.Path)
			}
		case Symlink:
			if target, _ := os.Readlink(abs); target != e.Target {
				t.Errorf("%q links to %q, want %q", e.Path, e.Target, target)
			}
		case File:
			files++
			if e.First != leaf {
				t.Errorf("%q starts at leaf %d, want %d", e.Path, e.First, leaf)
			}
			leaf += e.Leaves
			checkContent(t, l, i, abs)
			if st := b.Stats[e.Path]; st != StatOf(fi) {
				t.Errorf("%q has stat %+v, want %+v", e.Path, st, StatOf(fi))
			}
		}
	}
	if files != b.Files || files != len(b.Stats) || leaf != l.Leaves() {
		t.Errorf("%d files and %d leaves; built %d, walked %d", files, leaf, b.Files, l.Leaves())
	}
	return l
}

// checkContent re-hashes the leaves of entry i where the layout says they are.
func checkContent(t *testing.T, l *Layout, i int, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	e := l.Entries()[i]
	if e.Size >= 0 && e.Size != int64(len(data)) {
		t.Fatalf("%q has %d bytes, want %d", e.Path, e.Size, len(data))
	}
	for k := e.First; k < e.First+e.Leaves; k++ {
		leaf := l.Leaf(k)
		if leaf.Size < 0 {
			leaf.Size = len(data)
		}
		part := data[leaf.Offset : leaf.Offset+int64(leaf.Size)]
		if leaf.Entry != i || !leaf.CID.Equals(makeCID(cid.Raw, sha256.Sum256(part))) {
			t.Fatalf("%q: leaf %d is %+v", e.Path, k, leaf)
		}
	}
}

// randomTree fills dir with what trees are made of, repeats included.
func randomTree(t *testing.T, rnd *rand.Rand, dir string, depth int) {
	t.Helper()
	names := []string{".hidden", "with space", "ünïcödé", "日本語", "emoji👩‍👩‍👧", "back\\slash", "new\nline", "..dots", "-dash", "CON", "a:b*?\"<>|", strings.Repeat("n", 255)}
	n := rnd.IntN(40)
	for i := range n {
		name := fmt.Sprintf("f%d", i)
		if rnd.IntN(3) == 0 {
			name = names[rnd.IntN(len(names))] // some twice: overwritten
		}
		path := filepath.Join(dir, name)
		switch k := rnd.IntN(10); {
		case k == 0 && depth > 0:
			if os.Mkdir(path, 0o700+fs.FileMode(rnd.IntN(64))) == nil {
				randomTree(t, rnd, path, depth-1)
			}
		case k == 1:
			os.Symlink(strings.Repeat("../", rnd.IntN(4))+"target", path)
		case k == 2:
			os.Mkdir(path, 0o755)
		default:
			if f, err := os.Create(path); err == nil {
				f.Write(bytes.Repeat([]byte{byte(rnd.IntN(3))}, rnd.IntN(4)*rnd.IntN(900)))
				f.Close()
				os.Chmod(path, 0o400+fs.FileMode(rnd.IntN(256)))
			}
		}
	}
	os.Chtimes(dir, at, at.Add(time.Duration(rnd.IntN(1e9))))
}

func TestTreeLikeBoxo(t *testing.T) {
	for seed := range uint64(15) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		dir := t.TempDir()
		randomTree(t, rnd, dir, 3)
		for _, cfg := range []Config{
			{Profile: small(256, 3)},
			{Profile: small(256, 3), Preserve: true, Workers: 4},
			{Profile: small(1000, 8), NoHidden: true, Workers: 1},
			{},
			{Preserve: true},
		} {
			b := compare(t, dir, cfg)
			checkAgainst(t, b, dir)
			if t.Failed() {
				t.Fatalf("seed %d, %+v", seed, cfg)
			}
		}
	}
}

// TestHAMTLikeBoxo grows directories over the threshold, also to several levels.
func TestHAMTLikeBoxo(t *testing.T) {
	for _, preserve := range []bool{false, true} {
		for _, fanout := range []int{8, 16, 32, 64, 256, 512, 1024} {
			dir := ramDir(t)
			p := small(1000, 4)
			p.HAMTFanout = fanout
			for i := range 260 {
				write(t, filepath.Join(dir, fmt.Sprintf("file-%d", i*i)), "content")
				if i < 24 || i > 50 && i%40 != 0 {
					continue // the threshold is at about 35 entries
				}
				checkAgainst(t, compare(t, dir, Config{Profile: p, Preserve: preserve}), dir)
			}
		}
	}
}

func TestPreserve(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	write(t, path, "text")
	for _, tt := range []struct {
		name  string
		mode  fs.FileMode
		mtime time.Time
		want  fs.FileMode
	}{
		{"usual", 0o644, at, 0o644},
		{"whole seconds", 0o755, at.Truncate(time.Second), 0o755},
		{"before the epoch", 0o600, time.Date(1960, 1, 1, 0, 0, 0, 500, time.UTC), 0o600},
		{"set-uid and sticky are kept from readers", 0o755 | fs.ModeSetuid | fs.ModeSticky, at, 0o755},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := errors.Join(os.Chmod(path, tt.mode), os.Chtimes(path, tt.mtime, tt.mtime)); err != nil {
				t.Fatal(err)
			}
			b := compare(t, path, Config{Preserve: true})
			e := checkAgainst(t, b, path).Entries()[0]
			if !e.HasMode || e.Mode != tt.want || !e.ModTime.Equal(tt.mtime) {
				t.Errorf("recorded %v %v %v", e.HasMode, e.Mode, e.ModTime)
			}
			b = build(t, path, Config{})
			if e := checkAgainst(t, b, path).Entries()[0]; e.HasMode || !e.ModTime.IsZero() {
				t.Errorf("recorded without being asked: %+v", e)
			}
		})
	}
}

func TestRootSymlinkIsFollowed(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "f"), "text")
	if err := os.Symlink("f", filepath.Join(dir, "l")); err != nil {
		t.Skip(err)
	}
	if a, b := build(t, filepath.Join(dir, "f"), Config{}), build(t, filepath.Join(dir, "l"), Config{}); a.Root != b.Root {
		t.Errorf("%s by its name, %s by the link", a.Root, b.Root)
	}
}

func TestBuildCancel(t *testing.T) {
	dir := ramDir(t)
	fill(t, filepath.Join(dir, "f"), "x", 8<<20)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	var puts atomic.Int64
	cfg := Config{Profile: small(1024, 2)}
	_, err := Build(ctx, dir, cfg, func(cid.Cid, []byte) error {
		if puts.Add(1) == 10 {
			cancel(why)
		}
		return nil
	})
	if !errors.Is(err, why) {
		t.Fatalf("error is %v", err)
	}
	if n := puts.Load(); n > 3000 {
		t.Errorf("%d nodes were made after all", n)
	}
}

func TestBuildPutFails(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "f"), strings.Repeat("x", 5000))
	os.Symlink("x", filepath.Join(dir, "l"))
	full := &fs.PathError{Op: "write", Path: "store", Err: errors.New("disk full")}
	for n := range 8 {
		var puts int
		_, err := Build(t.Context(), dir, Config{Profile: small(1000, 2)}, func(cid.Cid, []byte) error {
			if puts++; puts == n {
				return full
			}
			return nil
		})
		if n > 0 && !errors.Is(err, full) {
			t.Errorf("put %d failed, Build says %v", n, err)
		}
	}
}
