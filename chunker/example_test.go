package chunker_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"shoal/chunker"

	"github.com/ipfs/go-cid"
)

func ExampleBuild() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	os.WriteFile(filepath.Join(dir, "hello.txt"), []byte("hello world"), 0o644)
	os.Mkdir(filepath.Join(dir, "sub"), 0o755)

	nodes := make(map[cid.Cid][]byte) // a real program keeps them in a store
	tree, err := chunker.Build(context.Background(), dir, chunker.Config{}, func(c cid.Cid, block []byte) error {
		nodes[c] = block
		return nil
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(tree.Root, tree.Files, "file,", tree.Size, "bytes")

	layout, err := chunker.Walk(tree.Root, chunker.Limits{}, func(c cid.Cid) ([]byte, error) { return nodes[c], nil })
	if err != nil {
		panic(err)
	}
	for _, e := range layout.Entries() {
		fmt.Printf("%q %s, %d bytes in %d leaves from %d on\n", e.Path, e.Kind, e.Size, e.Leaves, e.First)
	}
	// Output:
	// bafybeielnkwnfemi6eubc4yuehk7mm375yqhp43wlqtskv5lejk63ojqju 1 file, 11 bytes
	// "" dir, 11 bytes in 1 leaves from 0 on
	// "hello.txt" file, 11 bytes in 1 leaves from 0 on
	// "sub" dir, 0 bytes in 0 leaves from 1 on
}

func ExampleParseLink() {
	l, err := chunker.ParseLink("https://ipfs.io/ipfs/bafybeic3h7rwruealwxkacabdy45jivq2crwz6bufb5ljwupn36gicplx4/a%20b?filename=c.txt")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Root, l.Path, l.Filename)
	fmt.Println(l)
	// Output:
	// bafybeic3h7rwruealwxkacabdy45jivq2crwz6bufb5ljwupn36gicplx4 a b c.txt
	// ipfs://bafybeic3h7rwruealwxkacabdy45jivq2crwz6bufb5ljwupn36gicplx4/a%20b?filename=c.txt
}
