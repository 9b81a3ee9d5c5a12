package node

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"shoal/node/api"
)

// Somebody has what a get waits for and cannot give it. The get says why; when that is over, it ends by itself: it is never
// started again.
func TestGetSaysWhatItWaitsForAndGoesOn(t *testing.T) {
	type world struct {
		t    *testing.T
		a    *Node
		path string // of what a shares
		data []byte
		stop func()
		home string
		b    *Node
	}
	verify := func(w *world, full bool) {
		if _, err := w.a.Verify(context.Background(), api.VerifyRequest{Ref: filepath.Base(w.path), Full: full}, nil); err != nil {
			w.t.Error(err)
		}
	}
	restore := func(w *world) {
		if err := os.WriteFile(w.path, w.data, 0o644); err != nil {
			w.t.Error(err)
		}
	}
	move := func(w *world, from, to string) {
		if err := os.Rename(from, to); err != nil {
			w.t.Error(err)
		}
	}
	share := func(w *world) {
		if _, err := w.a.Share(context.Background(), api.ShareRequest{Path: w.path}, nil); err != nil {
			w.t.Error(err)
		}
	}
	away := func(w *world) string { return filepath.Dir(w.path) + ".away" }
	for _, row := range []struct {
		name   string
		hinder func(w *world)
		causes []api.CauseCode
		lift   func(w *world)
	}{
		{
			"the drive is not mounted, and then it is",
			func(w *world) { move(w, filepath.Dir(w.path), away(w)) },
			[]api.CauseCode{api.CauseChanged},
			func(w *world) { move(w, away(w), filepath.Dir(w.path)) },
		},
		{
			"the file is edited, then restored and verified",
			func(w *world) {
				if err := os.WriteFile(w.path, w.data[1:], 0o644); err != nil {
					w.t.Error(err)
				}
			},
			[]api.CauseCode{api.CauseChanged},
			func(w *world) { restore(w); verify(w, false) },
		},
		{
			"the file is deleted, and shared again",
			func(w *world) {
				if err := os.Remove(w.path); err != nil {
					w.t.Error(err)
				}
			},
			[]api.CauseCode{api.CauseChanged},
			func(w *world) { restore(w); share(w) },
		},
		{
			"an edit puts the time back, then it is restored",
			func(w *world) {
				fi, err := os.Stat(w.path)
				if err != nil {
					w.t.Fatal(err)
				}
				f, err := os.OpenFile(w.path, os.O_RDWR, 0)
				if err != nil {
					w.t.Fatal(err)
				}
				f.WriteAt([]byte{w.data[1<<20] + 1}, 1<<20)
				f.Close()
				if err := os.Chtimes(w.path, fi.ModTime(), fi.ModTime()); err != nil {
					w.t.Error(err)
				}
			},
			[]api.CauseCode{api.CauseCorrupt, api.CauseChanged},
			func(w *world) { restore(w); verify(w, true) },
		},
		{
			"the share is removed, and shared again",
			func(w *world) {
				if _, err := w.a.Remove(context.Background(), filepath.Base(w.path)); err != nil {
					w.t.Error(err)
				}
			},
			[]api.CauseCode{api.CauseNotThere},
			func(w *world) { share(w) },
		},
		{
			"the daemon is not there, and then it is",
			func(w *world) { w.stop() },
			[]api.CauseCode{api.CauseRefused, api.CauseHungUp, api.CauseDial},
			func(w *world) { w.a, w.stop = startNode(w.t, w.home, w.b) },
		},
		{
			"it restarts while the drive is away",
			func(w *world) { move(w, filepath.Dir(w.path), away(w)) },
			[]api.CauseCode{api.CauseChanged},
			func(w *world) {
				w.stop()
				w.a, w.stop = startNode(w.t, w.home, w.b)
				move(w, away(w), filepath.Dir(w.path))
			},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := &world{t: t, home: t.TempDir()}
			w.a, w.stop = startNode(t, w.home)
			w.b, _ = startNode(t, t.TempDir(), w.a)
			w.path, w.data = randomFile(t, filepath.Join(t.TempDir(), "drive"), "film.bin", 5<<20)
			link := mustShare(t, w.a, w.path).Link
			row.hinder(w)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			told := false
			got, err := w.b.Get(ctx, api.GetRequest{Link: link, Dir: t.TempDir()}, func(p api.Progress) {
				if !told && p.Cause != nil && slices.Contains(row.causes, p.Cause.Code) {
					told = true
					t.Logf("%s: %s", p.State, p.Message)
					row.lift(w)
				}
			})
			if err != nil {
				t.Fatalf("%v; the cause was told: %v", err, told)
			}
			if copied, err := os.ReadFile(got.Path); err != nil || !bytes.Equal(copied, w.data) || !told {
				t.Errorf("differs, or no cause was told (%v, %v)", told, err)
			}
		})
	}
}

// A share is removed while it is sent, somewhere within a chunk, and shared again. Whoever resumes it is refused nothing:
// what could not be sent to its end is not held back.
func TestResumeAfterShareIsBack(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	up := int64(8_000_000)
	if _, err := a.SetLimits(t.Context(), api.LimitRequest{Up: &up}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for i, after := range []int64{1 << 20, 5 << 20, 9 << 20} {
		path, data := randomFile(t, dir, "film.bin", int(12<<20+after)+i) // other bytes each time
		link := mustShare(t, a, path).Link
		into := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		removed := false
		_, err := b.Get(ctx, api.GetRequest{Link: link, Dir: into}, func(p api.Progress) {
			switch {
			case removed && (p.Cause != nil || p.State == api.StateSearching):
				cancel()
			case !removed && p.Bytes >= after:
				removed = true
				if _, err := a.Remove(context.Background(), "film.bin"); err != nil {
					t.Error(err)
				}
			}
		})
		cancel()
		if err == nil || !removed {
			t.Fatalf("the first get: %v; removed: %v", err, removed)
		}
		mustShare(t, a, path)
		got, err := b.Get(t.Context(), api.GetRequest{Link: link, Dir: into}, func(p api.Progress) {
			if p.Cause != nil && p.Cause.Code != api.CauseNotConnected {
				t.Errorf("the second get waits: %s", p.Message)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if copied, err := os.ReadFile(got.Path); err != nil || !bytes.Equal(copied, data) {
			t.Errorf("the copy differs (%v)", err)
		}
	}
}
