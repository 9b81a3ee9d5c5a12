package api_test

import (
	"context"
	"fmt"
	"os"

	"shoal/node/api"
)

// A program asks the daemon of a home for its shares, and says so when none runs.
func ExampleClient() {
	home, err := os.MkdirTemp("", "home")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(home)

	client := api.NewClient(home)
	shares, err := client.List(context.Background())
	if e := api.AsError(err); e != nil && e.Code == api.NoDaemon {
		fmt.Println("no daemon:", e.Hint)
		return
	}
	for _, s := range shares {
		fmt.Println(s.Name, s.State, s.Link)
	}
	// Output: no daemon: Start one with `shoal daemon`.
}
