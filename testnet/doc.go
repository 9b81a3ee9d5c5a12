// Package testnet runs real shoal daemons on loopback: separate processes of the real binary, each with a home of its own,
// driven by the real command line or through the API client, and killed when somebody wants to see what survives.
//
// Start reading at Net (net.go) and Daemon (daemon.go), which know nothing of tests. Lab (lab.go) puts them into the hands of a
// test: its Peers fail the test instead of returning errors, and a Fetch (fetch.go) is a `shoal get` running beside it.
// files.go makes trees with everything a file system can hold, and compares them. The scenarios are the *_test.go files, one
// subject each; house_test.go keeps the repository's own rules: who may import whom, where doc.go files are.
//
// Topology (netns.go) is a network of network namespaces for what loopback cannot show, where they are allowed; a Place puts a daemon
// into one of them. nat_test.go has homes behind NATs; lab_lan_test.go a LAN, one whose cable is cut, a machine that changes its
// address. `testnet.sh lab nat|lan|partition|roam` runs one and tells what happens. Networks of a thousand peers are simulated in
// package dht (TestSim).
//
// What real disks and machines do wrong comes from package fault: bad sectors, failing syncs, power cuts, full disks, names that collide.
// model_test.go does random things with three daemons and looks at every file after each; killmany_test.go and powercut_test.go end processes and
// disks at random moments. A failure of these prints the seed that replays it.
//
// testnet.sh in this folder does the same by hand, without Go code: `testnet.sh up 5`, `testnet.sh exec 2 status`; its
// `demo` is the whole product in one run.
//
// A daemon has one goroutine that waits for the end of its process. A Lab's cleanup ends every process, also after a panic;
// on Linux the kernel ends them even if the test binary itself is killed.
package testnet
