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

// A node serves itself on the socket in its home; here an in-memory Service does.
func ExampleListen() {
	home, err := os.MkdirTemp("", "home")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(home)

	server, err := api.Listen(api.ServerConfig{Home: home, Service: newService()})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- server.Run(ctx) }()

	id, err := api.NewClient(home).ID(ctx)
	fmt.Println(id.ID, err)
	stop()
	fmt.Println(<-ran)
	// Output:
	// 12D3KooWTest <nil>
	// <nil>
}
