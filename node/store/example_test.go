package store_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"shoal/chunker"
	"shoal/node/store"
)

// Share a file in place, then read its first chunk as a peer would be served it.
func Example() {
	dir, err := os.MkdirTemp("", "store")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "hello.txt")
	if err := os.WriteFile(path, []byte("hello world"), 0o644); err != nil {
		log.Fatal(err)
	}
	s, err := store.Open(filepath.Join(dir, "home"), store.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	im := s.Import()
	tree, err := chunker.Build(context.Background(), path, chunker.Config{}, im.PutNode)
	if err != nil {
		im.Abort()
		log.Fatal(err)
	}
	sh, err := im.Commit(context.Background(), tree, path, "")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(sh.Root, sh.Name, sh.State)

	r, err := s.OpenRoot(sh.Root)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	buf := make([]byte, 1<<20)
	n, err := r.ReadLeaf(0, buf)
	fmt.Printf("%s %v\n", buf[:n], err)

	os.Remove(path)
	err = s.Check(context.Background(), sh.Root)
	sh, _ = s.Share(sh.Root)
	fmt.Println(sh.State, sh.Reason, err)
	// Output:
	// bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e hello.txt complete
	// hello world <nil>
	// changed hello.txt was deleted <nil>
}

// Fetch from one store into another, with the source standing in for the network.
func ExampleStore_Download() {
	dir, err := os.MkdirTemp("", "store")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "hello.txt")
	if err := os.WriteFile(path, []byte("hello world"), 0o644); err != nil {
		log.Fatal(err)
	}
	s, err := store.Open(filepath.Join(dir, "home"), store.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	tree, err := chunker.Build(context.Background(), path, chunker.Config{}, nil)
	if err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	d, err := s.Download(ctx, store.Target{Root: tree.Root, Dir: dir, Name: "copy.txt"}, chunker.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	n, complete := d.Leaves()
	fmt.Println(n, complete, d.Has(0))
	if err := d.Write(0, []byte("hello world")); err != nil {
		log.Fatal(err)
	}
	sh, err := d.Finish(ctx)
	fmt.Println(filepath.Base(sh.Path), sh.Size, sh.State, err)
	// Output:
	// 1 true false
	// copy.txt 11 complete <nil>
}
