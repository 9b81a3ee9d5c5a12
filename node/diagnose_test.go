package node

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"shoal/node/api"
	"shoal/node/store"
)

// evidence is that of a fetch without any trouble, which the rows of the table change.
func evidence(change func(e *api.Evidence)) api.Evidence {
	e := api.Evidence{
		State: api.StateFetching, Seconds: 60, Chunks: 100, Have: 40, Missing: 60 << 20, Known: true,
		Free: 1 << 40, Network: "lan", Connected: 3, Searched: true,
	}
	change(&e)
	return e
}

// suspects make the peers of a row.
func seedPeer() api.Suspect {
	return api.Suspect{ID: "seed", Connected: true, Answered: true, All: true}
}

func sender(rate float64) api.Suspect {
	p := seedPeer()
	p.Rate, p.Waiting = rate, 1<<20
	return p
}

func partial(have int64) api.Suspect {
	return api.Suspect{ID: "partial", Connected: true, Answered: true, Have: have}
}

func troubled(code api.CauseCode) api.Suspect { return api.Suspect{ID: string(code), Trouble: code} }

func TestDiagnose(t *testing.T) {
	failed := func(code api.Code) func(*api.Evidence) {
		return func(e *api.Evidence) {
			e.State, e.Error = api.StateFailed, api.Errorf(code, "it went wrong").WithHint("Do better.")
			e.Peers = []api.Suspect{seedPeer()}
		}
	}
	homeFailed := func(err error) func(*api.Evidence) {
		return func(e *api.Evidence) {
			failed(api.Internal)(e)
			e.Error = api.AsError(userError(fmt.Errorf("checkpoint: %w", &store.HomeError{Home: "/h", Err: err})))
		}
	}
	state := func(s api.State, noDaemon bool) func(*api.Evidence) {
		return func(e *api.Evidence) { e.State, e.NoDaemon = s, noDaemon }
	}
	peers := func(list ...api.Suspect) func(*api.Evidence) {
		return func(e *api.Evidence) { e.Peers = list }
	}
	flowing := func(rate float64, down, each int64, list ...api.Suspect) func(*api.Evidence) {
		return func(e *api.Evidence) {
			e.Rate, e.Limits, e.Peers = rate, api.Limits{Down: down, PeerDown: each}, list
		}
	}
	slow := sender(1e6)
	choked := seedPeer()
	choked.Choked = true
	for _, row := range []struct {
		name string
		e    func(*api.Evidence)
		want []api.CauseCode
		says string // a part of the first sentence
	}{
		{"whole", state(api.StateComplete, false), []api.CauseCode{api.CauseOK}, "Nothing is wrong"},
		{"whole, not served", state(api.StateComplete, true), []api.CauseCode{api.CauseNoDaemon}, "nobody can get it"},
		{"partial", state(api.StatePartial, false), []api.CauseCode{api.CauseExists}, "not all of it is here"},
		{"partial, not served", state(api.StatePartial, true), []api.CauseCode{api.CauseNoDaemon, api.CauseExists}, "nobody can get it"},
		{"changed", state(api.StateChanged, false), []api.CauseCode{api.CauseChangedHere}, "files have changed"},
		{"moved away", func(e *api.Evidence) { e.State, e.Path, e.Gone = api.StateChanged, "/srv/x", true }, []api.CauseCode{api.CauseChangedHere}, "/srv/x was moved or deleted"},
		{"checking", state(api.StateChecking, false), []api.CauseCode{api.CauseChecking}, "being checked"},
		{"finishing", state(api.StateFinishing, false), []api.CauseCode{api.CauseOK}, "all of it is here"},
		{"disk full", failed(api.NoSpace), []api.CauseCode{api.CauseNoSpace}, "is full"},
		{"read-only", failed(api.ReadOnly), []api.CauseCode{api.CauseReadOnly}, "cannot be written: it went wrong"},
		{"home read-only", homeFailed(store.ErrReadOnly), []api.CauseCode{api.CauseReadOnly}, "shoal's home cannot be written"},
		{"home full", homeFailed(store.ErrNoSpace), []api.CauseCode{api.CauseNoSpace}, "shoal's home cannot be written"},
		{"exists", failed(api.Exists), []api.CauseCode{api.CauseExists}, "Something else"},
		{"no DAG", failed(api.Damaged), []api.CauseCode{api.CauseDamaged}, "ended with an error"},
		{"failed", failed(api.Internal), []api.CauseCode{api.CauseFailed}, "ended with an error"},
		{"fetching, and failed before", func(e *api.Evidence) {
			failed(api.NoSpace)(e)
			e.State, e.Rate, e.Peers = api.StateFetching, 1e8, []api.Suspect{sender(1e8)}
		}, []api.CauseCode{api.CauseOK}, "from 1 peer"},
		{"paused with a seed", func(e *api.Evidence) { e.State, e.Peers = api.StatePaused, []api.Suspect{seedPeer()} },
			[]api.CauseCode{api.CausePaused}, "40 of 100 chunks"},
		{"paused, and nobody has it", state(api.StatePaused, false), []api.CauseCode{api.CausePaused, api.CauseNobody}, "paused"},
		{"paused, and no daemon", func(e *api.Evidence) { e.State, e.NoDaemon, e.Peers = api.StatePaused, true, []api.Suspect{seedPeer()} },
			[]api.CauseCode{api.CauseNoDaemon}, "unfinished"},
		{"paused, and the disk is full now", func(e *api.Evidence) {
			e.State, e.Path, e.Free, e.Peers = api.StatePaused, "/disk/x.part", 1<<20, []api.Suspect{seedPeer()}
		}, []api.CauseCode{api.CauseNoSpace, api.CausePaused}, "60.0 MiB are missing, 1.0 MiB are free"},

		{"down limit", flowing(9.5e5, 1e6, 0, slow), []api.CauseCode{api.CauseLimitDown}, "1MB/s down for all"},
		{"down limit far away", flowing(9.5e5, 1e7, 0, slow), []api.CauseCode{api.CauseSlowPeers}, "which is what 1 peer sends"},
		{"peer limit", flowing(19e5, 0, 1e6, slow, slow), []api.CauseCode{api.CauseLimitPeer}, "from each peer, and 2 peers"},
		{"both limits", flowing(9.5e5, 1e6, 1e6, slow), []api.CauseCode{api.CauseLimitDown, api.CauseLimitPeer}, ""},
		{"slow peers", flowing(1e6, 0, 0, slow, seedPeer()), []api.CauseCode{api.CauseSlowPeers}, "which is what 1 peer sends"},
		{"fast", flowing(1e8, 0, 0, sender(1e8)), []api.CauseCode{api.CauseOK}, "from 1 peer"},
		{"slow, but soon over", func(e *api.Evidence) { flowing(1e6, 0, 0, slow)(e); e.Missing = 5e6 }, []api.CauseCode{api.CauseOK}, "5s to go"},
		{"slow, and not whole", func(e *api.Evidence) { flowing(1e6, 0, 0, slow)(e); e.Lost = 7 },
			[]api.CauseCode{api.CauseLostChunks, api.CauseSlowPeers}, "7 of the 60 missing chunks"},

		{"nobody", peers(), []api.CauseCode{api.CauseNobody}, "3 peers are connected and asked"},
		{"too early", func(e *api.Evidence) { e.Searched = false }, []api.CauseCode{api.CauseStarting}, "too early"},
		{"no peers", func(e *api.Evidence) { e.Connected = 0 }, []api.CauseCode{api.CauseNoPeers}, `network "lan"`},
		{"no bootstrap", func(e *api.Evidence) {
			e.Connected, e.Bootstrap = 0, []api.Suspect{troubled(api.CauseRefused), troubled(api.CauseTimeout)}
		}, []api.CauseCode{api.CauseNoBootstrap}, "none of the 2 peers"},
		{"refused and no peers", func(e *api.Evidence) { e.Connected, e.Peers = 0, []api.Suspect{troubled(api.CauseRefused)} },
			[]api.CauseCode{api.CauseRefused, api.CauseNoPeers}, "The only peer"},
		{"the most frequent first", peers(troubled(api.CauseRefused), troubled(api.CauseTimeout), troubled(api.CauseTimeout)),
			[]api.CauseCode{api.CauseTimeout, api.CauseRefused}, "2 of the 3 peers that are said to have it do not answer"},
		{"all alike", peers(troubled(api.CauseNoRoute), troubled(api.CauseNoRoute)), []api.CauseCode{api.CauseNoRoute}, "All 2 peers"},
		{"known, not dialled", peers(api.Suspect{ID: "new"}), []api.CauseCode{api.CauseNotConnected}, "1 peer is known"},

		{"corrupt and refused", peers(troubled(api.CauseRefused), troubled(api.CauseCorrupt)), []api.CauseCode{api.CauseCorrupt, api.CauseRefused}, "CID"},
		{"corrupt, but another sends", flowing(1e8, 0, 0, troubled(api.CauseCorrupt), sender(1e8)), []api.CauseCode{api.CauseOK}, ""},
		{"changed at the seed", func(e *api.Evidence) {
			p := troubled(api.CauseChanged)
			p.Connected, p.Answered = true, true
			e.Peers, e.Lost = []api.Suspect{p}, 60
		}, []api.CauseCode{api.CauseChanged}, "its file has changed"},
		{"all missing chunks are lost", func(e *api.Evidence) { e.Peers, e.Lost = []api.Suspect{partial(40)}, 60 },
			[]api.CauseCode{api.CauseLostChunks}, "60 chunks are missing that nobody"},
		{"some are lost", func(e *api.Evidence) { e.Peers, e.Lost = []api.Suspect{sender(0)}, 20 },
			[]api.CauseCode{api.CauseLostChunks, api.CauseStalled}, "20 of the 60 missing"},
		{"nothing offered yet", peers(partial(0)), []api.CauseCode{api.CauseLostChunks}, "nobody has any of it yet"},
		{"choked", peers(choked), []api.CauseCode{api.CauseChoked}, "serves others"},
		{"stalled", peers(sender(0)), []api.CauseCode{api.CauseStalled}, "nothing comes"},

		{"not fetched, to be had", func(e *api.Evidence) {
			e.State, e.Have, e.Peers = api.StateAbsent, 0, []api.Suspect{seedPeer(), troubled(api.CauseRefused)}
		}, []api.CauseCode{api.CauseReady}, "1 peer has it"},
		{"not fetched, in parts", func(e *api.Evidence) {
			e.State, e.Have, e.Lost, e.Peers = api.StateAbsent, 0, 30, []api.Suspect{partial(70)}
		}, []api.CauseCode{api.CauseLostChunks}, "30 of the 100"},
		{"not fetched, nobody", state(api.StateAbsent, false), []api.CauseCode{api.CauseNobody}, "Nobody has it"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := diagnose(evidence(row.e))
			var codes []api.CauseCode
			for _, c := range got {
				codes = append(codes, c.Code)
				if c.What == "" || strings.Contains(c.What, "%!") || !strings.HasSuffix(c.What, ".") {
					t.Errorf("%s says %q", c.Code, c.What)
				}
				if c.Next == "" && c.Code != api.CauseOK {
					t.Errorf("%s has no next step", c.Code)
				}
			}
			if !slices.Equal(codes, row.want) || !strings.Contains(got[0].What, row.says) {
				t.Errorf("%v, %q; want %v, %q", codes, got[0].What, row.want, row.says)
			}
		})
	}
}

// Every trouble that a peer can have leads to a cause of its own.
func TestEveryTroubleIsACause(t *testing.T) {
	for code := range peerTexts {
		got := diagnose(evidence(func(e *api.Evidence) { e.Peers = []api.Suspect{troubled(code)} }))
		if got[0].Code != code {
			t.Errorf("%s leads to %s", code, got[0].Code)
		}
	}
}
