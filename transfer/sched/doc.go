// Package sched decides which leaf is asked of which peer.
//
// It is a pure state machine: [State.Handle] takes the time and an event (a
// peer joined, a have arrived, a chunk verified, a tick passed) and returns
// actions (request, cancel, drop, done). It does no I/O, reads no clock, starts
// no goroutine and draws its random numbers from a seed, so that every policy
// is a table test and every run can be repeated.
//
// Start reading in event.go, which is the whole vocabulary, then state.go for
// the flow of one event. The policies are one file each:
//
//   - pick.go: which free leaves a peer is asked for. Regions and long runs
//     where every peer has everything, rarest first in a swarm.
//   - stream.go: the same for a reader that takes the leaves in order, and what to
//     do when the one it waits for is late.
//   - window.go: how much each peer may owe us at a time, from its measured
//     rate and round trip.
//   - tail.go: near the end, work goes to who finishes it first; queued leaves
//     move from slow peers to idle ones, and the very last are asked of two.
//   - stall.go: silent peers lose their work, are tried again with one leaf at
//     a time and dropped when others have what we need.
//
// What a provider decides is beside it, and as pure: spread.go deals the leaves of
// a full seed out to a crowd, each once before any twice; uplink.go decides whose
// leaf is sent next, and climb.go how many are sent at once; offer.go is what a
// requester makes of being choked there.
//
// The tables below them are leaves.go (what we know of each leaf, about eight
// bytes each) and haves.go (who has what, a bit per leaf in pages).
//
// A State belongs to one goroutine, the session's; nothing in it is locked.
package sched
