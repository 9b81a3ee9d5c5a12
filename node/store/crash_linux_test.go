package store_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/chunker"
	"shoal/node/store"

	"github.com/ipfs/go-cid"
)

// TestMain runs as the child that the crash tests kill, if it is told so.
func TestMain(m *testing.M) {
	if job := os.Getenv("SHOAL_STORE_CHILD"); job != "" {
		if err := child(job, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child does a job step by step and says so after each: one line a step.
func child(job string, args []string) error {
	home, from, to := args[0], args[1], args[2]
	s, err := store.Open(home, store.Config{})
	if err != nil {
		return err
	}
	fmt.Println("open")
	ctx := context.Background()
	if job == "import" {
		for {
			im := s.Import()
			t, err := chunker.Build(ctx, from, chunker.Config{}, im.PutNode)
			if err != nil {
				return err
			}
			fmt.Println("built")
			if _, err := im.Commit(ctx, t, from, ""); err != nil {
				return err
			}
			fmt.Println("shared")
			if err := s.Remove(t.Root); err != nil {
				return err
			}
			fmt.Println("removed")
		}
	}
	src, err := store.Open(to+".src", store.Config{})
	if err != nil {
		return err
	}
	all, err := src.Shares()
	if err != nil {
		return err
	}
	r, err := src.OpenRoot(all[0].Root)
	if err != nil {
		return err
	}
	d, err := s.Download(ctx, store.Target{Root: all[0].Root, Dir: to, Name: "out", Force: job == "merge"}, chunker.Limits{})
	if err != nil {
		return err
	}
	d.OnNote(func(noted bool) {
		if job == "note" && !noted || job == "noted" && noted {
			os.Exit(0)
		}
	})
	for _, missing := d.NextNode(); missing; _, missing = d.NextNode() {
		block, err := r.Node(d.Nodes())
		if err == nil {
			err = d.AddNode(block)
		}
		if errors.Is(err, store.ErrUnsettled) {
			fmt.Println("settle")
			err = d.Settle(ctx, nil)
		}
		if err != nil {
			return err
		}
		fmt.Println("node")
	}
	n, _ := d.Leaves()
	buf := make([]byte, 1<<20)
	for i := range n {
		if d.Has(i) || !d.Wanted(i) {
			continue
		}
		size, err := r.ReadLeaf(i, buf)
		if err == nil {
			err = d.Write(i, buf[:size])
		}
		if err == nil && i%7 == 0 {
			err = d.Checkpoint(ctx)
		}
		if err != nil {
			return err
		}
		fmt.Println("leaf")
	}
	fmt.Println("finish")
	if _, err := d.Finish(ctx); err != nil {
		return err
	}
	fmt.Println("done")
	return errors.Join(s.Close(), src.Close())
}

// killed runs the child and kills it after it has said lines lines; it returns whether
// the child came to its end before.
func killed(t *testing.T, job string, lines int, args ...string) (ended bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "SHOAL_STORE_CHILD="+job)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(out)
	for range lines {
		if !sc.Scan() {
			if err := cmd.Wait(); err != nil {
				t.Fatalf("child failed: %v: %s", err, stderr.String())
			}
			return true
		}
	}
	if job == "merge" {
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond) // so that it is cut off between any two calls
	}
	cmd.Process.Kill()
	cmd.Wait()
	return false
}

// TestKilledDownload kills a process again and again while it downloads a tree. Each
// time, whatever is called had must be on the disk; in the end all is there.
func TestKilledDownload(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	files := map[string]string{"big": string(content(1, 5<<20+3)), "empty": "", "link": "->big", "void/": ""}
	for i := range 60 {
		files[fmt.Sprintf("d%d/f%d", i%4, i)] = fmt.Sprint("file ", i)
	}
	base := t.TempDir()
	from, to, home := filepath.Join(base, "from"), filepath.Join(base, "to"), filepath.Join(base, "home")
	makeTree(t, from, files)
	if err := os.Mkdir(to, 0o755); err != nil {
		t.Fatal(err)
	}
	src := open(t, to+".src", store.Config{})
	sh := share(t, src, from, chunker.Config{})
	if err := src.Close(); err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	kills := 0
	for !killed(t, "download", 1+rnd.IntN(12), home, from, to) {
		if kills++; kills > 200 {
			t.Fatal("no end")
		}
		checkHome(t, home, sh.Root, to)
	}
	t.Logf("killed %d times", kills)
	sameTree(t, readTree(t, filepath.Join(to, "out")), files)
	s := open(t, home, store.Config{})
	if got, err := s.Share(sh.Root); err != nil || got.State != store.Complete {
		t.Errorf("share %+v, %v", got, err)
	}
	if n, err := s.Garbage(); n != 0 || err != nil {
		t.Errorf("%d rows of garbage, %v", n, err)
	}
}

// checkHome opens the home of a killed process and reads every leaf it claims to have.
func checkHome(t *testing.T, home string, root cid.Cid, to string) {
	t.Helper()
	s, err := store.Open(home, store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	list, err := s.Unfinished()
	if err != nil {
		t.Fatal(err)
	}
	for _, tgt := range list {
		d, err := s.Download(context.Background(), tgt, chunker.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.OpenRoot(root)
		if err != nil {
			t.Fatal(err)
		}
		n, _ := d.Leaves()
		buf := make([]byte, 1<<20)
		for i := range n {
			if !d.Has(i) {
				continue
			}
			size, err := r.ReadLeaf(i, buf)
			if err != nil {
				t.Errorf("leaf %d: %v", i, err)
				continue
			}
			c, _ := d.Leaf(i)
			if sum := sha256.Sum256(buf[:size]); string(sum[:]) != string(c.Hash()[2:]) {
				t.Errorf("leaf %d is recorded and wrong", i)
			}
		}
		r.Close()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	if n, err := s.Garbage(); n != 0 || err != nil {
		t.Errorf("%d rows of garbage, %v", n, err)
	}
	_ = to
}

func TestKilledImport(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	base := t.TempDir()
	from, home := filepath.Join(base, "from"), filepath.Join(base, "home")
	files := map[string]string{}
	for i := range 3000 {
		files[fmt.Sprintf("d%d/f%d", i%50, i)] = fmt.Sprint("file ", i)
	}
	makeTree(t, from, files)
	for k := range 12 {
		killed(t, "import", 2+k%5, home, from, "")
		s, err := store.Open(home, store.Config{})
		if err != nil {
			t.Fatal(err)
		}
		n, err := s.Garbage()
		if n != 0 || err != nil {
			t.Errorf("%d rows of garbage, %v", n, err)
		}
		all, err := s.Shares()
		if err != nil || len(all) > 1 {
			t.Errorf("shares: %v, %v", all, err)
		}
		for _, sh := range all {
			rep, err := s.Verify(context.Background(), sh.Root, true, nil)
			if err != nil || rep.OK != len(files) {
				t.Errorf("verify: %+v, %v", rep, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCrashAfterMove stops between the move to the final name and its record.
func TestCrashAfterMove(t *testing.T) {
	rows := []struct {
		name  string
		files map[string]string
	}{
		{"file", nil},
		{"tree", map[string]string{"a": "alpha", "b/c": string(content(1, 2<<20)), "empty": "", "l": "->a", "v/": ""}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			var src *store.Store
			var sh store.Share
			if row.files == nil {
				src, sh, _ = lone(t, 1<<20+5)
			} else {
				src, sh = tree(t, row.files, chunker.Config{})
			}
			home, crashed, to := t.TempDir(), filepath.Join(t.TempDir(), "home"), t.TempDir()
			dst := open(t, home, always())
			makeTree(t, to, map[string]string{"out.part.old": "mine"})
			d := begin(t, dst, store.Target{Root: sh.Root, Dir: to, Name: "out"})
			if err := pump(t, openRoot(t, src, sh.Root), d, nil); err != nil {
				t.Fatal(err)
			}
			if err := d.CrashAfterMove(context.Background()); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(crashed, os.DirFS(home)); err != nil {
				t.Fatal(err)
			}
			s := open(t, crashed, always())
			got, err := s.Share(sh.Root)
			if err != nil || got.State != store.Complete || got.Path != filepath.Join(to, "out") || got.Have != sh.Leaves || got.Size != sh.Size {
				t.Fatalf("share %+v, %v", got, err)
			}
			third := open(t, t.TempDir(), always())
			fetch(t, s, third, store.Target{Root: sh.Root, Dir: t.TempDir(), Name: "y"})
			if names, _ := os.ReadDir(to); len(names) != 2 {
				t.Errorf("left behind, or gone: %v", names)
			}
			if row.files != nil {
				sameTree(t, readTree(t, got.Path), row.files)
			}
			if n, err := s.Garbage(); n != 0 || err != nil {
				t.Errorf("%d rows of garbage, %v", n, err)
			}
		})
	}
}

// TestEditAfterMove edits a result that a crash kept from being recorded: it is not
// served as if it were what was fetched.
func TestEditAfterMove(t *testing.T) {
	src, sh := tree(t, map[string]string{"a": "alpha", "b": "bravo"}, chunker.Config{})
	home, crashed, to := t.TempDir(), filepath.Join(t.TempDir(), "home"), t.TempDir()
	dst := open(t, home, always())
	d := begin(t, dst, store.Target{Root: sh.Root, Dir: to, Name: "out"})
	if err := pump(t, openRoot(t, src, sh.Root), d, nil); err != nil {
		t.Fatal(err)
	}
	if err := d.CrashAfterMove(context.Background()); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(to, "out", "a"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tick(t, f)
	if _, err := f.WriteAt([]byte("ALPHA"), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(crashed, os.DirFS(home)); err != nil {
		t.Fatal(err)
	}
	s := open(t, crashed, always())
	got, err := s.Share(sh.Root)
	if err != nil || got.State != store.Changed || got.Have != 1 {
		t.Errorf("share %+v, %v", got, err)
	}
}

// TestOldHome opens a home as it was before Finish, as from a backup: what is at the
// destination by then is found to be the content.
func TestOldHome(t *testing.T) {
	src, sh := tree(t, map[string]string{"a": "alpha", "b/c": "charlie"}, chunker.Config{})
	home, backup, to := t.TempDir(), filepath.Join(t.TempDir(), "home"), t.TempDir()
	dst := open(t, home, always())
	tgt := store.Target{Root: sh.Root, Dir: to, Name: "out"}
	d := begin(t, dst, tgt)
	if err := pump(t, openRoot(t, src, sh.Root), d, nil); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Checkpoint(context.Background()), os.CopyFS(backup, os.DirFS(home))); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Finish(context.Background()); err != nil {
		t.Fatal(err)
	}
	s := open(t, backup, always())
	again := begin(t, s, tgt)
	if got, err := again.Finish(context.Background()); err != nil || got.State != store.Complete {
		t.Errorf("share %+v, %v", got, err)
	}
	if list, err := s.Shares(); err != nil || len(list) != 1 {
		t.Errorf("shares %+v, %v", list, err)
	}
	if n, err := s.Garbage(); n != 0 || err != nil {
		t.Errorf("%d rows of garbage, %v", n, err)
	}
}
