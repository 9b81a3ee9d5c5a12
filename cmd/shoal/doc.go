// Command shoal is the command line of a shoal node: a client of its control API, and of a node of its own where no daemon runs.
//
// Start reading at app.go: run takes the arguments apart (args.go), settles where each setting comes from (settings.go) and
// calls the verb. There is one verb a file; each gets a call (call.go), which has its parsed flags, the output
// streams, and the api.Service to work on (node.go). What people see while they wait is in progress.go, and every error
// ends in the table in exit.go.
//
// Goroutines: run owns the one that watches for signals; a node of our own runs in one that call.stop waits for; the bars
// belong to mpb, whose container progress.done waits for.
package main
