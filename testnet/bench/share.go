package main

import (
	"context"
	"os"
	"path/filepath"
	"time"

	boxochunker "github.com/ipfs/boxo/chunker"
	"github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"
)

// benchShare indexes the large file with a daemon and with boxo's importer, which
// is what Kubo adds files with. boxo's blocks are dropped: it stores nothing.
func benchShare(ctx context.Context, b *bench) error {
	path, err := b.largeFile("large", b.size)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	l, err := b.lab(ctx, 1)
	if err != nil {
		return err
	}
	ours := b.report.row("share: shoal", "MB/s")
	theirs := b.report.row("share: boxo importer", "MB/s")
	for range b.runs {
		start := time.Now()
		root, err := boxoImport(path)
		if err != nil {
			return err
		}
		theirs.add(float64(b.size) / 1e6 / time.Since(start).Seconds())

		r, seconds, err := share(ctx, l.daemons[0], path)
		if err != nil {
			return err
		}
		ours.add(float64(b.size) / 1e6 / seconds)
		if r.CID != root.String() {
			ours.note = "CID differs from boxo's: " + root.String()
		}
		if _, err := l.daemons[0].Client().Remove(ctx, r.CID); err != nil {
			return err
		}
	}
	l.close()
	b.report.ratio("share: shoal / boxo", ours, theirs, "goal 1.7")
	b.report.memory("share: daemon memory", l)
	return nil
}

func boxoImport(path string) (cid.Cid, error) {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return cid.Undef, err
	}
	defer f.Close()
	params := helpers.DagBuilderParams{
		Dagserv: discardDAG{}, RawLeaves: true, Maxlinks: 1024,
		CidBuilder: cid.V1Builder{Codec: cid.DagProtobuf, MhType: multihash.SHA2_256},
	}
	builder, err := params.New(boxochunker.NewSizeSplitter(f, 1<<20))
	if err != nil {
		return cid.Undef, err
	}
	node, err := balanced.Layout(builder)
	if err != nil {
		return cid.Undef, err
	}
	return node.Cid(), nil
}

// discardDAG takes nodes and keeps none.
type discardDAG struct{}

func (discardDAG) Add(context.Context, ipld.Node) error       { return nil }
func (discardDAG) AddMany(context.Context, []ipld.Node) error { return nil }
func (discardDAG) Remove(context.Context, cid.Cid) error      { return nil }
func (discardDAG) RemoveMany(context.Context, []cid.Cid) error {
	return nil
}
func (discardDAG) Get(context.Context, cid.Cid) (ipld.Node, error) {
	return nil, ipld.ErrNotFound{}
}
func (discardDAG) GetMany(context.Context, []cid.Cid) <-chan *ipld.NodeOption {
	none := make(chan *ipld.NodeOption)
	close(none)
	return none
}

var _ ipld.DAGService = discardDAG{}
