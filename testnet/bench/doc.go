// Command bench measures shoal beside the limits and rivals on the same machine
// and work, and prints tables. Every figure is a median of interleaved runs with
// its range: absolute speeds drift from hour to hour, ratios in one run do not.
//
//	go run ./testnet/bench            all cases
//	go run ./testnet/bench -h         the cases and settings
//
// The cases:
//
//	share    index one large file in place; boxo's importer
//	fetch    one large file from daemon to daemon; a bare libp2p stream
//	tree     share and fetch the Go source
//	start    time from get to the first chunk
//	cat      time from cat to the first byte, and all of a large file; get
//	limit    the rate under a limit, all peers and each, up and down, 10 s a run
//	rivals   one large file from process to process (-size), with each tool there is
//	small    the same with 10,000 files of 4 KiB
//	crowd    a flash crowd: one seeder, -crowd fetchers that start at once, each
//	         behind a link of -rate Mbit/s; with half of them at a quarter of it; and
//	         twice as many
//	churn    the same, and the seeder is killed when it has sent everything once
//	slow     one fetcher, seven fast peers that hold six of seven files each, with
//	         and without a full seed at 2 Mbit/s
//	latency  one file over 100 Mbit/s with round trips of 20, 60 and 200 ms
//	idle     20 daemons (-peers) with nothing to do, watched for a while (-idle)
//	shares   verify, ls, rm and start with 1,000 shares and with 10,000
//	memory   a daemon that serves 8 files of -size and fetches 8 others at once;
//	         the copies take 16 times -size of disk
//	version  version 2 of a large file of which version 1 is shared
//	sparse   share and fetch a sparse file of 1 TiB, and a file beside it
//
// Tables are text, Markdown (-markdown) or JSON (-json). What shoal is to reach is
// judged at the end: a line for each goal says met, missed or not measured.
//
// # Rivals
//
// libtorrent, aria2, transmission, syncthing, rsync, nginx with curl, and cp as a
// limit, all from Debian: apt install python3-libtorrent aria2 transmission-cli
// syncthing rsync nginx-light curl. Kubo takes part if ipfs is on the PATH. Those
// that are missing are named below the tables and left out; -tools chooses.
// They run with their own defaults, TCP only, and know nobody else: no DHT, no
// discovery, no port mapping, no relays, no reports, a tracker inside this process.
// rsync, nginx and torrents do not encrypt; shoal and syncthing do.
//
// A fetch is timed when both processes are up and the seeder has hashed what it
// offers, and ends when the tool says that all is there; then the bytes are
// compared with the original. Starting aria2, transmission, rsync, curl or cp is
// part of their time, some 20 ms. Syncthing's time runs from resuming the folder at the receiver,
// when both are connected and the sender has indexed it. Some have clocks of their
// own: aria2 acts on what a tracker says once a second, transmission lets nobody
// download before its next turn of 10 s. Such waiting weighs less the larger the file is.
//
// # What is counted
//
// CPU is user and system time of all processes of both ends, from start to end of
// the fetch. Memory is that of the largest process: at most resident (VmHWM), which
// counts files that it maps, and without page cache (RssAnon, sampled every 50 ms; a
// process that lives shorter may be missed). The wire is loopback's counter, or in a
// crowd those of all veths, headers included. Copies are what the seeder put on its veth without
// headers, over the size of the file. Duplicates are those that a tool tells of.
//
// The fluid limit is the time in which no schedule could do better:
// max(F/u, F/d, N*F/(u + U)), u being the seeder's rate, d the slowest fetcher's and
// U the sum of theirs. TCP/IP headers alone take 4.5 % of a link.
//
// # The networks
//
// As root on Linux the benchmark runs itself again in a network namespace that has
// nothing but loopback: nothing that it starts can reach anybody, and its counters
// count nothing else. crowd, churn, slow and latency need that, and iproute2: they make named
// network namespaces on a bridge, a veth each, with tbf at both ends, and remove
// them again; names hold the process ID.
//
// In latency both ends reach nothing but a proxy that delays (testnet.Delay). It
// ends TCP connections, so that TCP's windows are those of a near peer; what
// is tested is how much a tool keeps under way: request windows and a multiplexer's.
//
// Start reading at main.go; each case is one file, and each kind of tool one
// (tools.go says what a tool is). Data lies on a RAM disk where there is one (-dir),
// so that the disk is not what is measured. The daemons are real processes; so are
// both ends of the bare libp2p stream, which is this binary started again. A group
// (procs.go) owns the processes of a run and the goroutine that samples them.
package main
