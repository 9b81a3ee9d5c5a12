// Command client drives a running shoal daemon through its control API.
//
//	go run ./examples/client [-home DIR] status
//	go run ./examples/client [-home DIR] share PATH
//	go run ./examples/client [-home DIR] get LINK DEST
//
// Start reading at run. api.Client has one method for each thing a daemon can do; all that the shoal command itself does, it
// does through them.
package main
