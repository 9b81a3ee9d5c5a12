package testnet_test

import (
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/test"

	"shoal/node/api"
	"shoal/testnet"
)

// noRoot is a CID that nobody has.
const noRoot = "bafkreiemqpndzewx4bioklzfvhtiegsfny5fxuc3nkjk2vmcpjxiammsti"

// fault is something that goes wrong, in a lab of three daemons that the first one joins together, and what `shoal why` has to
// say of it.
type fault struct {
	name   string
	inject func(t *testing.T, lab *testnet.Lab) (who *testnet.Peer, ref string)
	cause  api.CauseCode
	exit   int
	says   string // a part of the sentence
	check  func(t *testing.T, e api.Evidence)
}

// faults are the ways in which a fetch is slow, stuck or not found.
var faults = []fault{
	{name: "nobody has it", inject: func(t *testing.T, lab *testnet.Lab) (*testnet.Peer, string) {
		return lab.Peers[2], noRoot
	}, cause: api.CauseNobody, exit: 3, says: "Nobody has it"},

	{name: "a fetch of what nobody has", inject: func(t *testing.T, lab *testnet.Lab) (*testnet.Peer, string) {
		f := lab.Peers[2].Fetch(noRoot, lab.Peers[2].Path("copy"))
		f.Until("it searches", func(p api.Progress) bool { return p.State == api.StateSearching })
		return lab.Peers[2], noRoot
	}, cause: api.CauseNobody, exit: 3, says: "Nobody has it"},

	{name: "a closed port", inject: func(t *testing.T, lab *testnet.Lab) (*testnet.Peer, string) {
		sharer := lab.Peers[1]
		shared := sharer.Share(testnet.RandomFile(t, sharer.Path("original"), 2*chunk, 1))
		sharer.Kill()
		return lab.Peers[2], shared.Link
	}, cause: api.CauseRefused, exit: 3, says: "refuses connections"},

	{name: "a fetch from a closed port", inject: func(t *testing.T, lab *testnet.Lab) (*testnet.Peer, string) {
		sharer, fetcher := lab.Peers[1], lab.Peers[2]
		shared := sharer.Share(testnet.RandomFile(t, sharer.Path("original"), 2*chunk, 1))
		sharer.Kill()
		f := fetcher.Fetch(shared.Link, fetcher.Path("copy"))
		f.Until("it searches", func(p api.Progress) bool { return p.State == api.StateSearching && p.Found > 0 })
		return fetcher, shared.CID
	}, cause: api.CauseRefused, exit: 3, says: "refuses connections"},

	{name: "another peer at the address", inject: func(t *testing.T, lab *testnet.Lab) (*testnet.Peer, string) {
		addr, _, _ := strings.Cut(lab.Peers[1].Addrs()[0], "/p2p/")
		return lab.Peers[2], linkTo(noRoot, addr+"/p2p/"+test.RandPeerIDFatal(t).String())
	}, cause: api.CauseWrongPeer, exit: 3, says: "somebody else"},

	{name: "a peer without the root", inject: func(t *testing.T, lab *testnet.Lab) (*testnet.Peer, string) {
		return lab.Peers[2], linkTo(noRoot, lab.Peers[1].Addrs()[0])
	}, cause: api.CauseNotThere, exit: 3, says: "does not have it"},

	{name: "other software", inject: func(t *testing.T, lab *testnet.Lab) (*testnet.Peer, string) {
		return lab.Peers[2], linkTo(noRoot, addrs(t, bareHost(t))...)
	}, cause: api.CauseNoSwap, exit: 3, says: "does not speak"},

	{name: "a peer that says nothing", inject: func(t *testing.T, lab *testnet.Lab) (*testnet.Peer, string) {
		mute := handled(t, func(s network.Stream) { io.Copy(io.Discard, s) })
		return lab.Peers[2], linkTo(noRoot, addrs(t, mute)...)
	}, cause: api.CauseSilent, exit: 3, says: "does not answer"},

	{name: "an address of another network", inject: func(t *testing.T, lab *testnet.Lab) (*testnet.Peer, string) {
		return lab.Peers[2], linkTo(noRoot, "/ip4/192.0.2.1/tcp/4474/p2p/"+test.RandPeerIDFatal(t).String())
	}, cause: api.CauseGated, exit: 3, says: "not to be dialled from this network"},

	{name: "chunks that nobody has", inject: partialSwarm, cause: api.CauseLostChunks, exit: 3, says: "nobody who is connected has",
		check: func(t *testing.T, e api.Evidence) {
			if e.Lost != 16 || e.Have != 8 || e.Chunks != 24 {
				t.Errorf("%d lost, %d of %d here; want 16, 8 of 24", e.Lost, e.Have, e.Chunks)
			}
		}},

	{name: "our own limit", inject: func(t *testing.T, lab *testnet.Lab) (*testnet.Peer, string) {
		lab.Peers[2].Must("limit", "--down", "1MB/s")
		return slowFetch(t, lab)
	}, cause: api.CauseLimitDown, says: "1MB/s down for all peers"},

	{name: "our own limit on each peer", inject: func(t *testing.T, lab *testnet.Lab) (*testnet.Peer, string) {
		lab.Peers[2].Must("limit", "--peer-down", "1MB/s")
		return slowFetch(t, lab)
	}, cause: api.CauseLimitPeer, says: "1MB/s down from each peer"},

	{name: "the seed's limit", inject: func(t *testing.T, lab *testnet.Lab) (*testnet.Peer, string) {
		lab.Peers[1].Must("limit", "--up", "1MB/s")
		return slowFetch(t, lab)
	}, cause: api.CauseSlowPeers, says: "which is what 1 peer sends"},

	{name: "a changed file at the only seed", inject: func(t *testing.T, lab *testnet.Lab) (*testnet.Peer, string) {
		sharer, fetcher := lab.Peers[1], lab.Peers[2]
		path := testnet.RandomFile(t, sharer.Path("original"), 4*chunk, 1)
		shared := sharer.Share(path)
		testnet.RandomFile(t, path, 3*chunk, 2)
		f := fetcher.Fetch(shared.Link, fetcher.Path("copy"))
		f.Until("the seed is connected", func(p api.Progress) bool { return p.Peers > 0 })
		return fetcher, shared.CID
	}, cause: api.CauseChanged, exit: 4, says: "its file has changed"},

	{name: "a changed file here", inject: func(t *testing.T, lab *testnet.Lab) (*testnet.Peer, string) {
		path := testnet.RandomFile(t, lab.Peers[1].Path("original"), 4*chunk, 1)
		lab.Peers[1].Share(path)
		testnet.RandomFile(t, path, 3*chunk, 2)
		return lab.Peers[1], "original"
	}, cause: api.CauseChangedHere, exit: 4, says: "It is shared here, but"},

	{name: "a corrupt seed", inject: func(t *testing.T, lab *testnet.Lab) (*testnet.Peer, string) {
		fetcher := lab.Peers[2]
		bad := newSeed(t, lab, testnet.RandomFile(t, fetcher.Path("original"), 4*chunk, 1), func(_ int, leaf []byte) ([]byte, error) {
			leaf[len(leaf)/2] ^= 1
			return leaf, nil
		})
		f := fetcher.Fetch(linkTo(bad.root.String(), addrs(t, bad.host)...), fetcher.Path("copy"))
		f.Until("the seed is found", func(p api.Progress) bool { return p.Found > 0 })
		return fetcher, bad.root.String()
	}, cause: api.CauseCorrupt, exit: 4, says: "does not match its CID"},

	{name: "a seed that hangs", inject: func(t *testing.T, lab *testnet.Lab) (*testnet.Peer, string) {
		fetcher := lab.Peers[2]
		seed := gatedSeed(t, lab, testnet.RandomFile(t, fetcher.Path("original"), 4*chunk, 1), 1)
		f := fetcher.Fetch(linkTo(seed.root.String(), addrs(t, seed.host)...), fetcher.Path("copy"))
		f.UntilBytes(chunk)
		f.Until("nothing comes any more", func(p api.Progress) bool { return p.State == api.StateStalled })
		return fetcher, seed.root.String()
	}, cause: api.CauseStalled, exit: 3, says: "is asked, and nothing comes"},

	{name: "a paused fetch", inject: unfinished, cause: api.CausePaused, exit: 1, says: "It is paused"},

	{name: "no daemon", inject: func(t *testing.T, lab *testnet.Lab) (*testnet.Peer, string) {
		who, ref := unfinished(t, lab)
		who.Stop()
		return who, ref
	}, cause: api.CauseNoDaemon, exit: 6, says: "no daemon runs"},

	{name: "nobody on the network", inject: func(t *testing.T, lab *testnet.Lab) (*testnet.Peer, string) {
		alone := testnet.Start(t, 1, testnet.Options{})
		return alone.Peers[0], noRoot
	}, cause: api.CauseNoPeers, exit: 3, says: "No peer is connected"},

	{name: "no way into the network", inject: func(t *testing.T, lab *testnet.Lab) (*testnet.Peer, string) {
		gone := lab.Peers[1].Addrs()[0]
		lab.Peers[1].Stop()
		alone := testnet.Start(t, 1, testnet.Options{Args: []string{"--bootstrap", gone}})
		return alone.Peers[0], noRoot
	}, cause: api.CauseNoBootstrap, exit: 3, says: "lead into the network cannot be reached",
		check: func(t *testing.T, e api.Evidence) {
			if len(e.Bootstrap) != 1 || e.Bootstrap[0].Trouble != api.CauseRefused {
				t.Errorf("bootstrap peers: %+v", e.Bootstrap)
			}
		}},

	{name: "nothing, of what is shared", inject: func(t *testing.T, lab *testnet.Lab) (*testnet.Peer, string) {
		lab.Peers[1].Share(testnet.RandomFile(t, lab.Peers[1].Path("original"), 4*chunk, 1))
		return lab.Peers[1], "original"
	}, cause: api.CauseOK, says: "Nothing is wrong: it is here whole"},

	{name: "nothing, of what may be fetched", inject: func(t *testing.T, lab *testnet.Lab) (*testnet.Peer, string) {
		shared := lab.Peers[1].Share(testnet.RandomFile(t, lab.Peers[1].Path("original"), 4*chunk, 1))
		return lab.Peers[2], shared.CID
	}, cause: api.CauseReady, says: "1 peer has it",
		check: func(t *testing.T, e api.Evidence) {
			if len(e.Peers) != 1 || !e.Peers[0].All || e.Chunks != 4 || e.Have != 0 {
				t.Errorf("%d chunks, %d here, peers %+v", e.Chunks, e.Have, e.Peers)
			}
		}},
}

// TestWhy injects faults into real daemons: each has to be told from all others.
func TestWhy(t *testing.T) {
	for _, row := range faults {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			lab := testnet.Start(t, 3, testnet.Options{})
			lab.Meet(lab.Peers[1], lab.Peers[2])
			who, ref := row.inject(t, lab)
			row.judge(t, who, ref)
		})
	}
}

// judge asks what is the matter, as a program and as a person.
func (f fault) judge(t *testing.T, who *testnet.Peer, ref string) {
	t.Helper()
	asked := who.Run("why", "--json", ref)
	var d api.Diagnosis
	if err := json.Unmarshal([]byte(asked.Stdout), &d); err != nil {
		t.Fatalf("%v: %s", err, asked)
	}
	if d.Code != f.cause || asked.Code != f.exit || !strings.Contains(d.What, f.says) {
		t.Errorf("cause %q, want %q, exit code %d, want %d, says %q, want %q in it: %s",
			d.Code, f.cause, asked.Code, f.exit, d.What, f.says, asked)
	}
	if f.check != nil {
		f.check(t, d.Evidence)
	}
	shown := who.Run("why", ref)
	first, _, _ := strings.Cut(shown.Stdout, "\n")
	if shown.Code != f.exit || !strings.Contains(first, f.says) || shown.Stderr != "" {
		t.Errorf("shown to a person: %s", shown)
	}
	t.Logf("$ shoal why %s\n%s", ref, shown.Stdout)
}

// gatedSeed is a seed that gives so many leaves and then holds up the others to the end of the test.
func gatedSeed(t *testing.T, lab *testnet.Lab, path string, leaves int) *seed {
	g := newGate(t, leaves)
	s := newSeed(t, lab, path, g.pass)
	t.Cleanup(g.Open) // before the seed ends, which waits for those held up
	return s
}

// partialSwarm makes a swarm of two that have 8 of 24 chunks, and the seed is gone.
func partialSwarm(t *testing.T, lab *testnet.Lab) (*testnet.Peer, string) {
	first, second := lab.Peers[1], lab.Peers[2]
	seed := gatedSeed(t, lab, testnet.RandomFile(t, first.Path("original"), 24*chunk, 1), 8)
	root := seed.root.String()
	one := first.Fetch(linkTo(root, addrs(t, seed.host)...), first.Path("copy"))
	one.UntilBytes(8 * chunk)
	if err := seed.host.Close(); err != nil {
		t.Fatal(err)
	}
	two := second.Fetch(linkTo(root, first.Addrs()[0]), second.Path("copy"))
	two.UntilBytes(8 * chunk)
	return second, root
}

// slowFetch starts a fetch of 64 MiB that takes a while.
func slowFetch(t *testing.T, lab *testnet.Lab) (*testnet.Peer, string) {
	sharer, fetcher := lab.Peers[1], lab.Peers[2]
	shared := sharer.Share(testnet.RandomFile(t, sharer.Path("original"), 64*chunk, 1))
	f := fetcher.Fetch(shared.Link, fetcher.Path("copy"))
	f.UntilBytes(2 * chunk)
	return fetcher, shared.CID
}

// unfinished makes a fetch that was interrupted.
func unfinished(t *testing.T, lab *testnet.Lab) (*testnet.Peer, string) {
	lab.Peers[2].Must("limit", "--down", "1MB/s")
	sharer, fetcher := lab.Peers[1], lab.Peers[2]
	shared := sharer.Share(testnet.RandomFile(t, sharer.Path("original"), 16*chunk, 1))
	f := fetcher.Fetch(shared.Link, fetcher.Path("copy"))
	f.UntilBytes(2 * chunk)
	f.Interrupt()
	f.Wait()
	lab.Eventually("the fetch has paused", func() bool {
		share, ok := fetcher.FindShare(shared.CID)
		return ok && share.State == api.StatePaused
	})
	return fetcher, shared.CID
}

// TestFindReaches finds a peer that can be reached and one that cannot.
func TestFindReaches(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 3, testnet.Options{})
	good, gone, asker := lab.Peers[0], lab.Peers[1], lab.Peers[2]
	shared := good.Share(testnet.RandomFile(t, good.Path("original"), chunk, 1))
	link := linkTo(shared.CID, gone.Addrs()[0])
	gone.Kill()
	lab.Eventually("the asker knows that it is gone", func() bool {
		peers, err := asker.Client().Peers(t.Context())
		return err == nil && !slices.ContainsFunc(peers, func(p api.Peer) bool { return p.ID == gone.ID() })
	})
	got := map[string]api.Provider{}
	err := asker.Client().Find(t.Context(), link, func(p api.Provider) {
		if _, twice := got[p.ID]; twice {
			t.Errorf("%s was reported twice", p.ID)
		}
		got[p.ID] = p
	})
	if err != nil {
		t.Fatal(err)
	}
	if p := got[good.ID()]; !p.Reached || p.Trouble != "" || p.Source != "connected" && p.Source != "dht" {
		t.Errorf("who has it: %+v", p)
	}
	if p := got[gone.ID()]; p.Reached || p.Trouble != api.CauseRefused || p.Source != "link" || p.Detail == "" {
		t.Errorf("who is gone: %+v", p)
	}
	t.Logf("$ shoal find …\n%s", asker.Must("find", link))
}
