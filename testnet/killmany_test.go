//go:build linux

package testnet_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/testnet"
)

var (
	killRounds = flag.Int("kill.rounds", 8, "times that TestKillMany kills")
	killSeed   = flag.Uint64("kill.seed", 0, "first seed of TestKillMany; 0: a random one")
)

// TestKillMany kills gets and shares at random moments, the daemon's and those of a command without one, and lets the same command finish
// the work. In a third of the gets what had come is edited in between; a third go over a destination that exists, with --force. Every byte
// is compared at the end, the home opens, verify --full finds nothing, and nothing else in the directory has changed or is left over.
//
// The full run is `go test ./testnet -run TestKillMany -kill.rounds 200 -timeout 1h`.
func TestKillMany(t *testing.T) {
	big(t)
	seed := *killSeed
	if seed == 0 {
		seed = rand.Uint64N(1 << 32)
	}
	dir, err := os.MkdirTemp(memoryDir(), "shoal-kill")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	lab := testnet.Start(t, 3, testnet.Options{Dir: dir, Args: []string{"--limit-up", "40MB/s"}}) // so that there is a midst to kill in
	k := &killer{lab: lab, sharer: lab.Peers[0], daemon: lab.Peers[1], solo: lab.Peers[2], took: map[string]time.Duration{}}
	k.solo.Stop() // its commands run without a daemon
	for i := range *killRounds {
		s := seed + uint64(i)
		ok := t.Run(fmt.Sprintf("seed %d", s), func(t *testing.T) {
			k.t, k.rng = t, rand.New(rand.NewPCG(s, 0))
			k.round(i)
		})
		if !ok {
			t.Fatalf("replay it with -kill.seed %d -kill.rounds 1", s)
		}
	}
	t.Logf("%d kills, %d of them in the midst of the work, %d with edits of what had come", k.kills, k.inside, k.edited)
}

// killer holds what is common to all rounds.
type killer struct {
	t                     *testing.T
	rng                   *rand.Rand
	name                  string // of the round's files
	lab                   *testnet.Lab
	sharer, daemon, solo  *testnet.Peer
	took                  map[string]time.Duration // by kind of work, how long it takes
	foreign               []string                 // symlinks that the round has put into a .part
	kills, inside, edited int
}

// round is one kill. The work is drawn, but every kind has its turn.
func (k *killer) round(i int) {
	peer, name := k.daemon, fmt.Sprintf("round%d", i)
	k.name, k.foreign = name, nil
	if k.rng.IntN(3) == 0 {
		peer = k.solo
	}
	source := k.sharer.Path(name)
	files := k.makeTree(source)
	defer os.RemoveAll(source)
	shared := k.sharer.Share(source)
	defer k.sharer.Must("rm", shared.CID)
	dir := peer.Path(name)
	k.check(os.Mkdir(dir, 0o755))
	defer os.RemoveAll(dir)
	if k.rng.IntN(4) == 0 {
		k.killShare(peer, dir, source, shared.CID)
	} else {
		k.killGet(peer, dir, source, files, shared.CID, shared.Link)
	}
}

// killShare kills the sharing of a copy of source.
func (k *killer) killShare(peer *testnet.Peer, dir, source, cid string) {
	own := filepath.Join(dir, "own")
	k.check(os.CopyFS(own, os.DirFS(source)))
	k.run(peer, "share", "share", "--json", own)
	k.restart(peer)
	if peer == k.solo {
		k.shareUntil(peer, own, cid)
	} else if res := peer.Run("share", "--json", own); res.Code != 0 || !strings.Contains(res.Stdout, cid) {
		k.t.Fatalf("shared again after the kill, it is not %s: %s", cid, res)
	}
	k.same(source, own)
	k.must(peer, "verify", "--full", cid)
	k.must(peer, "rm", cid)
}

// shareUntil shares without a daemon until it tells the CID, then ends it as Ctrl-C does.
func (k *killer) shareUntil(peer *testnet.Peer, path, cid string) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := peer.Command(ctx, "share", "--json", path)
	out, err := cmd.StdoutPipe()
	k.check(err)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	k.check(cmd.Start())
	lines, found := bufio.NewScanner(out), false
	for !found && lines.Scan() {
		found = strings.Contains(lines.Text(), cid)
	}
	cmd.Process.Signal(os.Interrupt)
	if _, err := io.Copy(io.Discard, out); err != nil {
		k.t.Fatal(err)
	}
	cmd.Wait()
	if !found {
		k.t.Fatalf("shared again after the kill, it is not %s: %s", cid, errs.String())
	}
}

// killGet kills a get of source, and finishes it.
func (k *killer) killGet(peer *testnet.Peer, dir, source string, files []string, cid, link string) {
	dest := filepath.Join(dir, "copy")
	around := k.bystanders(dir)
	args := []string{"get", "--json", "-o", dest, link}
	old := map[string]string{}
	merge := k.rng.IntN(3) == 0
	if merge {
		old = k.older(source, dest, files)
		args = []string{"get", "--json", "--force", "-o", dir + "/", strings.Replace(link, "filename="+filepath.Base(source), "filename=copy", 1)}
	}
	k.run(peer, "get", args...)
	k.oldOrNew(source, dest, files, old)
	k.unchanged(around)
	edits := k.edited
	if !merge {
		k.editPart(dir, around)
	}
	k.restart(peer)
	k.finish(peer, dir, args, k.edited > edits)
	for rel := range old { // what is not in the share stays
		if !slices.Contains(files, rel) {
			k.unchanged(map[string]string{filepath.Join(dest, rel): old[rel]})
			k.check(os.Remove(filepath.Join(dest, rel)))
		}
	}
	k.same(source, dest)
	k.must(peer, "verify", "--full", cid)
	k.unchanged(around)
	k.noStrays(dir, around)
	k.must(peer, "rm", cid)
}

// run starts a command and kills it, or the daemon that works for it, at a random moment.
func (k *killer) run(peer *testnet.Peer, kind string, args ...string) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := peer.Command(ctx, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	usual, ok := k.took[kind]
	if !ok {
		usual = 200 * time.Millisecond
	}
	start := time.Now()
	k.check(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	k.kills++
	select {
	case err := <-ended:
		k.took[kind] = (usual + time.Since(start)) / 2
		if err != nil {
			k.t.Fatalf("before it was killed, %v: %v\n%s", args, err, out.String())
		}
	case <-k.moment(peer, kind, usual):
		k.inside++
		if peer == k.daemon {
			peer.Kill()
		}
		cmd.Process.Kill() // one that found no daemon any more works without
		<-ended
		if peer == k.solo {
			return
		}
	}
	if peer == k.daemon {
		peer.Kill()
	}
}

// restart starts the daemon again, which goes on by itself.
func (k *killer) restart(peer *testnet.Peer) {
	if peer == k.daemon {
		peer.Restart()
	}
}

// moment is when to kill: any time, or for most gets some time after something has come.
func (k *killer) moment(peer *testnet.Peer, kind string, usual time.Duration) <-chan time.Time {
	after := time.Duration(k.rng.Float64() * 1.2 * float64(usual))
	if kind != "get" || k.rng.IntN(3) == 0 {
		return time.After(after)
	}
	part := filepath.Join(peer.Path(k.name), "copy.part")
	out := make(chan time.Time, 1)
	deadline := time.Now().Add(2 * usual)
	go func() {
		for _, err := os.Lstat(part); err != nil && time.Now().Before(deadline); _, err = os.Lstat(part) {
			<-time.After(time.Millisecond)
		}
		out <- <-time.After(after / 2)
	}()
	return out
}

// finish runs the command again. What was put into the .part of a tree may have to go first: then the command says which. One that finds
// what was edited may say so, once.
func (k *killer) finish(peer *testnet.Peer, dir string, args []string, edited bool) {
	r := peer.Run(args...)
	if edited && r.Code != 0 { // the daemon goes on by itself after its start: what it works on may have been taken from under it
		r = peer.Run(args...)
	}
	if edited && r.Code == 5 && strings.Contains(r.Stderr, "is in its place") {
		filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.Type() == fs.ModeSymlink && strings.Contains(path, ".part"+string(filepath.Separator)) {
				k.check(os.Remove(path))
			}
			return nil
		})
		r = peer.Run(args...)
	}
	if r.Code != 0 {
		k.t.Fatalf("after the kill: %s\n%s", r, listing(dir))
	}
}

// makeTree makes a tree of random files, few or many, and returns their names. Some content is there twice.
func (k *killer) makeTree(dir string) (files []string) {
	count := []int{1, 3, 12, 150}[k.rng.IntN(4)]
	for i := range count {
		rel := fmt.Sprintf("d%d/f%d", i%5, i)
		size := k.rng.IntN([]int{10, 5000, 1 << 20, 3 << 20}[k.rng.IntN(4)])
		if count < 10 {
			size = k.rng.IntN(12 << 20)
		}
		k.check(os.MkdirAll(filepath.Join(dir, filepath.Dir(rel)), 0o755))
		k.random(filepath.Join(dir, rel), size)
		files = append(files, rel)
	}
	return files
}

func (k *killer) random(path string, size int) {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(k.rng.Uint32()), byte(k.rng.Uint32()), byte(k.rng.Uint32())}).Read(b)
	k.check(os.WriteFile(path, b, 0o644))
}

// bystanders makes files that are nobody's business.
func (k *killer) bystanders(dir string) map[string]string {
	out := map[string]string{}
	for _, name := range []string{"mine", "mine.part", "copy.part.txt", ".part"} {
		path := filepath.Join(dir, name)
		out[path] = "mine: " + name
		k.check(os.WriteFile(path, []byte(out[path]), 0o644))
	}
	return out
}

// older makes a destination that exists: of the files some right, some different, some missing, and some that the share does not have.
func (k *killer) older(source, dest string, files []string) map[string]string {
	old := map[string]string{}
	for _, rel := range append(slices.Clone(files), "extra", "d0/extra") {
		text := "old " + rel
		switch k.rng.IntN(3) {
		case 0:
			if !strings.HasSuffix(rel, "extra") {
				continue
			}
		case 1:
			if b, err := os.ReadFile(filepath.Join(source, rel)); err == nil {
				text = string(b)
			}
		}
		k.check(os.MkdirAll(filepath.Join(dest, filepath.Dir(rel)), 0o755))
		k.check(os.WriteFile(filepath.Join(dest, rel), []byte(text), 0o644))
		old[rel] = text
	}
	return old
}

// oldOrNew holds that each file at the destination is an old one or a new one, whole.
func (k *killer) oldOrNew(source, dest string, files []string, old map[string]string) {
	k.t.Helper()
	for rel, text := range old {
		got, err := os.ReadFile(filepath.Join(dest, rel))
		if err != nil {
			k.t.Fatalf("after the kill an old file is gone: %v", err)
		}
		want, err := os.ReadFile(filepath.Join(source, rel))
		if string(got) != text && (err != nil || !bytes.Equal(got, want)) {
			k.t.Fatalf("after the kill %s is neither the old nor the new file", rel)
		}
	}
	for _, rel := range files {
		got, err := os.ReadFile(filepath.Join(dest, rel))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		want, _ := os.ReadFile(filepath.Join(source, rel))
		if _, was := old[rel]; !was && !bytes.Equal(got, want) {
			k.t.Fatalf("after the kill %s has its name and is not whole (%v)", rel, err)
		}
	}
}

// editPart does to what has come what other programs may do. What it replaces by something else becomes a bystander, if shoal can see that
// it is not its own: the .part itself, not what is in it.
func (k *killer) editPart(dir string, around map[string]string) {
	top := filepath.Join(dir, "copy.part")
	if _, err := os.Lstat(top); err != nil {
		return // nothing has come
	}
	k.edited++
	var files []string
	filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			files = append(files, path)
		}
		return nil
	})
	if k.rng.IntN(4) == 0 {
		k.check(os.RemoveAll(top))
		switch k.rng.IntN(3) {
		case 0:
			around[top] = "not shoal's"
			k.check(os.WriteFile(top, []byte(around[top]), 0o644))
		case 1:
			k.check(os.Symlink("mine", top))
		}
		return
	}
	for range k.rng.IntN(4) {
		if len(files) == 0 {
			return
		}
		path := files[k.rng.IntN(len(files))]
		fi, err := os.Lstat(path)
		if err != nil || !fi.Mode().IsRegular() {
			continue
		}
		k.check(k.damage(path, fi))
	}
}

// damage edits one file.
func (k *killer) damage(path string, fi fs.FileInfo) error {
	at := k.rng.Int64N(fi.Size() + 1)
	switch k.rng.IntN(7) {
	case 0:
		return writeAt(path, at, "edited")
	case 1:
		return errors.Join(writeAt(path, at, "edited"), os.Chtimes(path, fi.ModTime(), fi.ModTime()))
	case 2:
		return os.Truncate(path, at)
	case 3:
		return os.Truncate(path, fi.Size()+1000)
	case 4:
		return os.WriteFile(path, nil, 0o644)
	case 5:
		return errors.Join(os.Remove(path), os.WriteFile(path, []byte("another"), 0o644))
	}
	k.foreign = append(k.foreign, path)
	return errors.Join(os.Remove(path), os.Symlink(filepath.Join(filepath.Dir(path), "nowhere"), path))
}

// unchanged holds that files are as they were.
func (k *killer) unchanged(want map[string]string) {
	k.t.Helper()
	for path, text := range want {
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			k.t.Fatalf("a file that is nobody's business was changed: %s (%v)", path, err)
		}
	}
}

// noStrays holds that nothing unfinished is left, but for the directories around what the round has put into a .part.
func (k *killer) noStrays(dir string, around map[string]string) {
	k.t.Helper()
	list, err := os.ReadDir(dir)
	k.check(err)
	for _, e := range list {
		path := filepath.Join(dir, e.Name())
		if _, ok := around[path]; ok || e.Name() == "copy" || e.Type() == fs.ModeSymlink {
			continue
		}
		err := filepath.WalkDir(path, func(path string, e fs.DirEntry, err error) error {
			if err == nil && !slices.Contains(k.foreign, path) && (!e.IsDir() || !k.holdsForeign(path)) {
				k.t.Fatalf("%s is left over:\n%s", path, listing(dir))
			}
			return err
		})
		k.check(err)
	}
}

// holdsForeign says whether below a directory lies what the round has put there.
func (k *killer) holdsForeign(dir string) bool {
	return slices.ContainsFunc(k.foreign, func(path string) bool {
		_, err := os.Lstat(path)
		return err == nil && strings.HasPrefix(path, dir+string(filepath.Separator))
	})
}

// listing lists what is in a directory, for messages.
func listing(dir string) string {
	out, err := exec.Command("ls", "-lAR", dir).Output()
	if len(out) > 3000 {
		out = out[:3000]
	}
	return fmt.Sprintf("%s%v", out, err)
}

func (k *killer) same(want, got string) {
	k.t.Helper()
	if err := testnet.Same(want, got, false); err != nil {
		k.t.Fatal(err)
	}
}

func (k *killer) must(p *testnet.Peer, args ...string) {
	k.t.Helper()
	if r := p.Run(args...); r.Code != 0 {
		k.t.Fatalf("%s", r)
	}
}

func (k *killer) check(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}
