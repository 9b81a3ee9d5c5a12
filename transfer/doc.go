// Package transfer swaps chunks with other peers: it serves the leaves of local
// roots and fetches the leaves of wanted ones, over one libp2p stream a peer
// that speaks /shoal/swap/1.0.0 (package wire is the specification), and a few more
// to a peer that is faster than one connection.
//
// Start reading at [Engine] (engine.go), which holds what is shared. Then follow
// a leaf: session.go asks for it, server.go reads and sends it, reader.go takes it
// in, writers.go checks and stores it, session.go books it and swarm.go tells the
// peers that want it too. lanes.go and dialer.go are about further connections, relayed.go about peers behind NATs,
// deal.go, choke.go and uplink.go about many peers that want the same. A fetch for a reader
// that follows the leaves in order is a session too, see [Engine.Stream]. What is wrong
// with a peer, for [Stats] to tell, is gathered in trouble.go. Nothing of that is for the whole
// session: candidates.go has the pauses, again.go announces what a provider can serve again, and
// doubt.go has it look at a leaf of its own that a requester received damaged.
//
// What the streams carry can be limited while they run ([Limits]): the writer waits
// before it sends, the reader before it reads on (limit.go).
//
// Goroutines. An Engine has one housekeeper (Run), and beside it three that wait for its disk or its clock: the turns
// of the uplink, what is looked at again, and what is doubted. Each conn (one stream) has a
// reader and a writer; the writer owns everything that serving needs, the
// reader everything that receiving needs. Each Fetch has one owner, the
// goroutine that called it, which alone touches its state and the scheduler; a
// few writers, which hash and call Job.Write; and short-lived diallers. Fetch waits for
// the goroutines it started, Engine.Close for the rest.
package transfer
