// Package dht finds peers: who has this root? It is a Kademlia DHT, mDNS where the profile has it, and a memory of peers over
// restarts. Each network has a protocol prefix of its own, so that they never mix; that of public is the IPFS DHT's.
//
// Start reading at [Profile] (the networks, as plain data), then [DHT.Run] (what is built, in which order), [DHT.Find]
// (the stream of providers) and [DHT.Provide] (the durable set of roots that we announce).
//
// What stands where:
//
//	profile.go    networks as data; which addresses may be dialled and advertised
//	public.go     what the IPFS DHT asks of those who join it
//	values.go     the public keys and IPNS records that its servers keep for others, bounded
//	dht.go        Config, New, Run, Close
//	find.go       the search for one root: connected peers first, lookups beside it, back-off
//	provide.go    announcing: go-libp2p-kad-dht's sweeping provider, and what it needs on small networks
//	roots.go      the durable set of provided roots; gather.go writes many at once
//	resume.go     what a restart need not announce again
//	findable.go   whether others can find a root by now
//	records.go    the provider records that we keep for others, bounded; our own are answered from the set of roots
//	sender.go     DHT requests on one stream a peer, with every answer bounded
//	bootstrap.go  when to dial whom, as a pure function, and the loop that does it
//	book.go       known peers; saved.go their bytes on disk
//	mdns.go       peers met on the local link
//	status.go     what a user may see of all this; events of the host and the routing table
//
// Run owns every goroutine and waits for all of them, also for those of the searches. Nothing here is started by an
// import, and nothing is dialled or written before Run.
//
// sim_test.go and its neighbours run the package in simulated networks of up to thousands of peers, which repeat by a seed and print a
// table: go test ./dht -run 'TestSim$' -v -timeout 2h -sim.peers 100,300,1000
//
// Everything that peers send is bounded: message size, providers and closer peers per answer, addresses per peer,
// records kept for others, providers reported per search, known peers.
package dht
