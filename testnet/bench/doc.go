// Command bench measures shoal beside the limits and rivals on the same machine
// and work, and prints a table. Every figure is a median of interleaved runs with
// its range, and a ratio: absolute speeds drift from hour to hour.
//
//	go run ./testnet/bench            all cases
//	go run ./testnet/bench -h         the cases and settings
//
// The cases:
//
//	share   index one large file in place; boxo's importer
//	fetch   one large file from daemon to daemon; a bare libp2p stream
//	tree    share and fetch the Go source
//	start   time from get to the first chunk
//	cat     time from cat to the first byte, and all of a large file; get
//	limit   the rate under a limit, all peers and each, up and down, 10 s a run
//	rivals  one large file from process to process (-size), with each tool there
//	        is: libtorrent, aria2, rsync, nginx with curl; and cp as a limit
//	small   the same with 10,000 files of 4 KiB
//	crowd   a flash crowd: one seeder, -crowd fetchers that start at once, each
//	        behind a link of -rate Mbit/s; then with half of them at a quarter of it
//	churn   the same, and the seeder is killed when it can have sent everything once
//
// The rivals are Debian's: apt install python3-libtorrent aria2 rsync nginx-light
// curl. Those that are missing are named below the table and left out. They run
// with their own defaults, TCP only, and talk to nobody else: no DHT, no local
// discovery, no port mapping, a tracker inside this process. rsync, nginx and
// torrents do not encrypt; shoal does. A fetch is timed when the processes are up
// (aria2, rsync and curl are started by it: some 20 ms) and ends when the tool says
// that all is there; then the bytes are compared with the original. aria2 acts on
// what a tracker says once a second, so 1 to 2 s of its time are waiting, which
// weighs less the larger the file is. Syncthing is
// not run yet.
//
// crowd and churn need Linux, root and iproute2. They make network namespaces on a
// bridge, a veth each, with tbf at both ends, and remove them again; names hold the
// process ID. The fluid limit is the time in which no schedule could do better:
// max(F/u, N*F/(u + N*u)), which is F/u, u being the slowest of the links. Copies are the bytes that the
// seeder put on its veth, headers included, over the size of the file.
//
// Start reading at main.go; each case is one file, and each kind of tool one
// (tools.go says what a tool is). Data lies on a RAM disk where there is one (-dir),
// so that the disk is not what is measured. The daemons are real processes; so are
// both ends of the bare libp2p stream, which is this binary started again.
package main
