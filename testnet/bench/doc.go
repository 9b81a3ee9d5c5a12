// Command bench measures shoal beside the limits and rivals on the same machine
// and work, and prints a table. Every figure is a median of interleaved runs with
// its range, and a ratio: absolute speeds drift from hour to hour.
//
//	go run ./testnet/bench            all cases
//	go run ./testnet/bench -h         the cases and settings
//
// Start reading at main.go; each case is one file. Data lies on a RAM disk where
// there is one (-dir), so that the disk is not what is measured. The daemons are
// real processes; so are both ends of the bare libp2p stream, which is this binary
// started again.
package main
