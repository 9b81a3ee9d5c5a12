// Command embed has two shoal nodes in one process: one shares a file, the other fetches it.
//
//	go run ./examples/embed [FILE]
//
// Without FILE it makes one. The nodes have homes in a temporary directory and meet on loopback only. Start reading at swap; it is
// all that a program needs to embed shoal.
//
// Each node has one goroutine, which runs it; peer.stop waits for it.
package main
