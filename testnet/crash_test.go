package testnet_test

import (
	"os"
	"testing"

	"shoal/node/api"
	"shoal/testnet"
)

// TestKillFetcher kills a fetcher at a known point and counts what leaves the seed: nothing that was verified is sent again.
func TestKillFetcher(t *testing.T) {
	t.Parallel()
	const leaves, before = 64, 32
	lab := testnet.Start(t, 2, testnet.Options{})
	fetcher := lab.Peers[1]
	path := testnet.RandomFile(t, fetcher.Path("original"), leaves*chunk, 1)
	g := newGate(t, before)
	s := newSeed(t, lab, path, g.pass)
	dest := fetcher.Path("dest")
	had := fetcher.Fetch(s.root.String(), dest).UntilBytes((before - 8) * chunk).Bytes // the last ones may be on their way
	fetcher.Kill()
	if _, err := os.Lstat(dest); !os.IsNotExist(err) {
		t.Errorf("an unfinished file has its final name: %v", err)
	}
	g.Open()
	fetcher.Restart()
	res := fetcher.Get(s.root.String(), dest)
	lab.Same(path, dest, false)
	if res.Had < had {
		t.Errorf("%d bytes were verified before the kill, %d are said to have been there after it", had, res.Had)
	}
	if sum := res.Had + received(res.From); sum != leaves*chunk {
		t.Errorf("had %d and fetched %d bytes of %d", res.Had, received(res.From), leaves*chunk)
	}
	inFlight := s.timesServed() - leaves
	t.Logf("verified before the kill %d MiB, kept %d MiB, fetched afterwards %d MiB; chunks sent twice: %d",
		had/chunk, res.Had/chunk, received(res.From)/chunk, inFlight)
	if limit := int(before - had/chunk + 16); inFlight > limit { // what was in flight, or held at the gate, goes again
		t.Errorf("%d chunks left the seed twice, more than the %d that can have been in flight", inFlight, limit)
	}
}

// TestKillSeeder kills the only full seeder while others fetch: they bring each other to the same point, and go on when it is back.
func TestKillSeeder(t *testing.T) {
	size := int64(512 * chunk)
	if testing.Short() {
		size = 96 * chunk
	}
	lab := testnet.Start(t, 4, testnet.Options{})
	seeder, fetchers := lab.Peers[0], lab.Peers[1:]
	path := testnet.RandomFile(t, seeder.Path("original"), size, 1)
	shared := seeder.Share(path)
	var running []*testnet.Fetch
	for _, p := range fetchers {
		running = append(running, p.Fetch(shared.Link, p.Path("copy")))
	}
	running[0].UntilBytes(size / 4)
	seeder.Kill()
	have := func() (least, most int64) {
		for i, p := range fetchers {
			s, _ := p.FindShare(shared.CID)
			if i == 0 || s.Have < least {
				least = s.Have
			}
			most = max(most, s.Have)
		}
		return least, most
	}
	_, most := have()
	lab.Eventually("the fetchers all have what one of them has", func() bool {
		least, now := have()
		return least == now && least >= most
	})
	least, _ := have()
	t.Logf("without the seeder all %d fetchers came to %d of %d chunks", len(fetchers), least, shared.Chunks)
	seeder.Restart()
	for i, f := range running {
		res := f.Done()
		lab.Same(path, fetchers[i].Path("copy"), false)
		if n := received(res.From); n != size {
			t.Errorf("peer %d: %d of %d bytes came from peers", fetchers[i].Index(), n, size)
		}
	}
}

// TestInterrupt pauses a fetch with Ctrl-C and resumes it with the same command.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	const leaves = 32
	lab := testnet.Start(t, 2, testnet.Options{})
	fetcher := lab.Peers[1]
	path := testnet.RandomFile(t, fetcher.Path("original"), leaves*chunk, 1)
	g := newGate(t, leaves/2)
	s := newSeed(t, lab, path, g.pass)
	dest := fetcher.Path("dest")
	f := fetcher.Fetch(s.root.String(), dest)
	had := f.UntilBytes(leaves / 4 * chunk).Bytes
	f.Interrupt()
	if r := f.Wait(); r.Code != 130 {
		t.Errorf("interrupted, but %s", r)
	}
	if share, ok := fetcher.FindShare(s.root.String()); !ok || share.State != api.StatePaused || share.HaveBytes < had {
		t.Errorf("after Ctrl-C it is listed as %+v", share)
	}
	g.Open()
	res := fetcher.Get(s.root.String(), dest)
	lab.Same(path, dest, false)
	if res.Had < had || res.Had+received(res.From) != leaves*chunk {
		t.Errorf("verified %d, kept %d, fetched %d of %d bytes", had, res.Had, received(res.From), leaves*chunk)
	}
}

// TestTerminate ends a daemon with SIGTERM in the middle of a fetch. It ends within 5 s (Stop checks it), loses nothing and
// goes on by itself when it starts again.
func TestTerminate(t *testing.T) {
	t.Parallel()
	const leaves = 32
	lab := testnet.Start(t, 2, testnet.Options{})
	fetcher := lab.Peers[1]
	path := testnet.RandomFile(t, fetcher.Path("original"), leaves*chunk, 1)
	g := newGate(t, leaves/2)
	s := newSeed(t, lab, path, g.pass)
	dest := fetcher.Path("dest")
	f := fetcher.Fetch(s.root.String(), dest)
	f.UntilBytes(leaves / 4 * chunk)
	fetcher.Stop()
	if r := f.Wait(); r.Code != 1 {
		t.Errorf("the daemon stopped under it, but %s", r)
	}
	sent := s.timesServed()
	g.Open()
	fetcher.Restart()
	lab.Eventually("the restarted daemon finishes the fetch by itself", func() bool {
		share, _ := fetcher.FindShare(s.root.String())
		return share.State == api.StateComplete
	})
	lab.Same(path, dest, false)
	t.Logf("%d chunks were sent before SIGTERM, %d in all, of %d", sent, s.timesServed(), leaves)
}

// TestRestartedSharer shares again after kill -9, under its old identity and without being told.
func TestRestartedSharer(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 3, testnet.Options{})
	sharer, fetcher := lab.Peers[1], lab.Peers[2]
	path := testnet.RandomFile(t, sharer.Path("original"), 3*chunk, 1)
	shared := sharer.Share(path)
	id := sharer.ID()
	sharer.Kill()
	sharer.Restart()
	if sharer.ID() != id {
		t.Errorf("it was %s and is %s", id, sharer.ID())
	}
	fetcher.Get(shared.CID, fetcher.Path("copy")) // the link has its old port
	lab.Same(path, fetcher.Path("copy"), false)
}

// TestStall freezes one of two seeders in the middle of a fetch: the other takes over.
func TestStall(t *testing.T) {
	big(t)
	const size = 512 * chunk
	lab := testnet.Start(t, 3, testnet.Options{})
	fetcher := lab.Peers[2]
	path := testnet.RandomFile(t, lab.Peers[0].Path("original"), size, 1)
	shared := lab.Peers[0].Share(path)
	lab.Peers[1].Share(path)
	f := fetcher.Fetch(shared.CID, fetcher.Path("copy"))
	f.UntilBytes(size / 8)
	lab.Peers[0].Freeze()
	res := f.Done()
	lab.Peers[0].Thaw()
	lab.Same(path, fetcher.Path("copy"), false)
	t.Log(whence(lab, res))
}
