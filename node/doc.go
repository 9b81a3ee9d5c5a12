// Package node is the daemon: it wires the store, the host, the DHT and the
// transfer engine together and offers them as one api.Service.
//
// It is the only package that knows more than one of chunker, dht and transfer;
// none of them knows another. Start reading at Open in node.go, then follow the
// two verbs that matter: Share in share.go and Get in get.go. A File (Open in
// cat.go) reads what is here or comes as it is read. How the node gets through NATs is in reach.go, what it says of that in
// reachability.go. Why (why.go) gathers evidence about a root, and diagnose (diagnose.go), a pure function, reads the causes off it.
//
// Goroutines: Run owns all long-lived ones in one errgroup and returns when the
// last has ended. A fetch runs in a goroutine of its own that Run's group waits
// for; the callers of Get only watch it. A File has a goroutine and a stream of its
// own until Close. Open starts nothing that Close does not
// stop, so that a Node that is never Run can be closed as well.
package node
