// Package wire is the specification of /shoal/swap/1.0.0 and its codec.
//
// Read wire.go first: goals, frame, sizes, limits and every message, one type
// each, with its layout. codec.go turns them into bytes and back. The package
// does no I/O and starts no goroutines.
package wire
