package testnet_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/node/api"
	"shoal/testnet"
)

// TestRestartNeedsNoBootstrap lets a daemon come back after the one through which all have met is gone, and after its own list of
// bootstrap addresses is empty: it remembers the others, and finds by CID alone what one of them shares.
func TestRestartNeedsNoBootstrap(t *testing.T) {
	t.Parallel()
	l := testnet.Start(t, 4, testnet.Options{})
	first, sharer, back := l.Peers[0], l.Peers[1], l.Peers[3]
	l.Meet(back, sharer)
	path := filepath.Join(t.TempDir(), "remembered.bin")
	if err := os.WriteFile(path, []byte("what is remembered"), 0o644); err != nil {
		t.Fatal(err)
	}
	shared := sharer.Share(path)
	l.Eventually("all others are in the table", func() bool {
		st, err := back.Client().Status(context.Background())
		return err == nil && st.Routing >= 3
	})
	back.Stop() // writes the peers down
	first.Stop()
	if err := back.RestartAlone(context.Background()); err != nil {
		t.Fatal(err)
	}
	l.Meet(back, sharer)
	dest := filepath.Join(t.TempDir(), "copy")
	back.Get(shared.CID, dest)
	l.Same(path, dest, false)
}

// TestShareWaitsUntilOthersCanFindIt: alone it says why nobody can, with peers it comes back when they can.
func TestShareWaitsUntilOthersCanFindIt(t *testing.T) {
	t.Parallel()
	l := testnet.Start(t, 1, testnet.Options{})
	alone := l.Peers[0]
	path := filepath.Join(t.TempDir(), "wait.bin")
	if err := os.WriteFile(path, []byte("whom shall I tell"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := alone.Fails(3, "share", "--wait", path)
	if !strings.Contains(r.Stderr, "no other peer") || !strings.Contains(r.Stdout, "ipfs://") {
		t.Errorf("alone: %s", r)
	}
	l.Add(6)
	sharer, seeker := l.Peers[3], l.Peers[5]
	for _, p := range l.Peers {
		l.Eventually(fmt.Sprintf("peer %d has a table", p.Index()), func() bool {
			st, err := p.Client().Status(context.Background())
			return err == nil && st.Routing >= 5
		})
	}
	if err := os.WriteFile(path, []byte("all of you"), 0o644); err != nil {
		t.Fatal(err)
	}
	shared := sharer.Share(path, "--wait")
	if f := shared.Findable; f == nil || !f.OK || f.Holders < 5 {
		t.Errorf("findable %+v", f)
	}
	if out := seeker.Must("find", "--json", shared.CID); !strings.Contains(out, sharer.ID()) {
		t.Errorf("found %s", out)
	}
}

// TestRemovedWithoutADaemonIsTakenBack removes a share while its daemon is down: when that is back, it no longer says that it has it.
func TestRemovedWithoutADaemonIsTakenBack(t *testing.T) {
	t.Parallel()
	l := testnet.Start(t, 2, testnet.Options{})
	sharer := l.Peers[1]
	var cids []string
	for _, name := range []string{"stays", "goes"} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
		cids = append(cids, sharer.Share(path).CID)
	}
	provided := func(want int) {
		l.Eventually(fmt.Sprintf("%d roots are provided", want), func() bool {
			st, err := sharer.Client().Status(context.Background())
			return err == nil && st.Provided == want
		})
	}
	provided(2)
	sharer.Stop()
	sharer.Must("rm", cids[1])
	sharer.Restart()
	provided(1)
	l.Peers[0].Must("find", cids[0])
}

// TestManyRootsOutliveARestart shares many files at one daemon, waits until all are announced, and restarts it: it announces none
// of them again, and says so.
func TestManyRootsOutliveARestart(t *testing.T) {
	if testing.Short() {
		t.Skip("shares 300 files")
	}
	l := testnet.Start(t, 4, testnet.Options{})
	sharer := l.Peers[2]
	dir := t.TempDir()
	var paths []string
	for i := range 300 {
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(path, fmt.Appendf(nil, "file %d", i), 0o644); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	sharer.Must(append([]string{"share", "--quiet"}, paths...)...)
	status := func() api.Status {
		st, err := sharer.Client().Status(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	l.Eventually("all roots are announced", func() bool {
		st := status()
		return st.Provided == len(paths) && st.Waiting == 0
	})
	sharer.Stop()
	sharer.Restart()
	// What is shared now is announced after whatever the start had to announce: the queue is one.
	late := filepath.Join(dir, "late")
	if err := os.WriteFile(late, []byte("late"), 0o644); err != nil {
		t.Fatal(err)
	}
	sharer.Must("share", "--wait", late)
	if st := status(); st.RecordsSent > 20 || st.Provided != len(paths)+1 {
		t.Errorf("%d records sent after the restart for one new root, %d provided", st.RecordsSent, st.Provided)
	}
}
