package chunker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	boxochunk "github.com/ipfs/boxo/chunker"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
)

// The oracle: boxo's importer, directories and symlink nodes, put together as
// Kubo's adder does.

// nodeMap is a DAG service that remembers inner nodes and forgets leaves.
type nodeMap map[cid.Cid][]byte

func (m nodeMap) Add(_ context.Context, n ipld.Node) error {
	if n.Cid().Type() != cid.Raw {
		m[n.Cid()] = n.RawData()
	}
	return nil
}

func (m nodeMap) AddMany(ctx context.Context, ns []ipld.Node) error {
	for _, n := range ns {
		if err := m.Add(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

func (m nodeMap) Get(_ context.Context, c cid.Cid) (ipld.Node, error) {
	if b, ok := m[c]; ok {
		return merkledag.DecodeProtobuf(b)
	}
	return nil, ipld.ErrNotFound{Cid: c}
}

func (nodeMap) GetMany(context.Context, []cid.Cid) <-chan *ipld.NodeOption { panic("not used") }
func (nodeMap) Remove(context.Context, cid.Cid) error                      { return nil }
func (nodeMap) RemoveMany(context.Context, []cid.Cid) error                { return nil }

// oracle holds the settings of one comparison.
type oracle struct {
	profile  Profile
	preserve bool
	noHidden bool
	nodes    nodeMap
}

func (o *oracle) file(r io.Reader, fi fs.FileInfo) (ipld.Node, error) {
	p := o.params(o.nodes)
	if o.preserve {
		p.FileMode, p.FileModTime = fi.Mode(), fi.ModTime()
	}
	n, err := o.layout(r, p)
	if raw, ok := n.(*merkledag.RawNode); ok && o.preserve {
		return o.wrap(raw, fi)
	}
	return n, err
}

func (o *oracle) importFile(r io.Reader, to ipld.DAGService) (ipld.Node, error) {
	return o.layout(r, o.params(to))
}

func (o *oracle) params(to ipld.DAGService) helpers.DagBuilderParams {
	return helpers.DagBuilderParams{
		Maxlinks:   o.profile.LinksPerNode,
		RawLeaves:  true,
		CidBuilder: uio.UnixFS_v1_2025.CidBuilder(),
		Dagserv:    to,
	}
}

func (o *oracle) layout(r io.Reader, p helpers.DagBuilderParams) (ipld.Node, error) {
	db, err := p.New(boxochunk.NewSizeSplitter(r, int64(o.profile.ChunkSize)))
	if err != nil {
		return nil, err
	}
	return balanced.Layout(db)
}

// wrap puts a dag-pb root with attributes over a lone raw leaf, the one thing
// that boxo does not do: it drops the attributes.
func (o *oracle) wrap(raw *merkledag.RawNode, fi fs.FileInfo) (ipld.Node, error) {
	fsn := unixfs.NewFSNode(unixfs.TFile)
	n := new(merkledag.ProtoNode)
	if err := n.SetCidBuilder(uio.UnixFS_v1_2025.CidBuilder()); err != nil {
		return nil, err
	}
	if size := len(raw.RawData()); size > 0 {
		fsn.AddBlockSize(uint64(size))
		if err := n.AddNodeLink("", raw); err != nil {
			return nil, err
		}
	}
	fsn.SetMode(fi.Mode())
	fsn.SetModTime(fi.ModTime())
	data, err := fsn.GetBytes()
	if err != nil {
		return nil, err
	}
	n.SetData(data)
	return n, o.nodes.Add(context.Background(), n)
}

func (o *oracle) symlink(path string, fi fs.FileInfo) (ipld.Node, error) {
	target, err := os.Readlink(path)
	if err != nil {
		return nil, err
	}
	data, err := unixfs.SymlinkData(target)
	if err != nil {
		return nil, err
	}
	if o.preserve {
		fsn, err := unixfs.FSNodeFromBytes(data)
		if err != nil {
			return nil, err
		}
		fsn.SetModTime(fi.ModTime())
		if data, err = fsn.GetBytes(); err != nil {
			return nil, err
		}
	}
	n := merkledag.NodeWithData(data)
	if err := n.SetCidBuilder(uio.UnixFS_v1_2025.CidBuilder()); err != nil {
		return nil, err
	}
	return n, o.nodes.Add(context.Background(), n)
}

func (o *oracle) dir(path string, fi fs.FileInfo) (ipld.Node, error) {
	ctx := context.Background()
	opts := []uio.DirectoryOption{
		uio.WithCidBuilder(uio.UnixFS_v1_2025.CidBuilder()),
		uio.WithMaxHAMTFanout(o.profile.HAMTFanout),
		uio.WithSizeEstimationMode(uio.SizeEstimationBlock),
	}
	if o.preserve {
		opts = append(opts, uio.WithStat(fi.Mode(), fi.ModTime()))
	}
	d, err := uio.NewDirectory(o.nodes, opts...)
	if err != nil {
		return nil, err
	}
	d.SetHAMTShardingSize(o.profile.HAMTThreshold)
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if o.noHidden && e.Name()[0] == '.' {
			continue
		}
		n, err := o.node(filepath.Join(path, e.Name()))
		if err != nil {
			return nil, err
		}
		if err := d.AddChild(ctx, e.Name(), n); err != nil {
			return nil, err
		}
	}
	n, err := d.GetNode()
	if err != nil {
		return nil, err
	}
	return n, o.nodes.Add(ctx, n)
}

func (o *oracle) node(path string) (ipld.Node, error) {
	fi, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	switch {
	case fi.IsDir():
		return o.dir(path, fi)
	case fi.Mode()&fs.ModeSymlink != 0:
		return o.symlink(path, fi)
	case fi.Mode().IsRegular():
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return o.file(f, fi)
	}
	return nil, fmt.Errorf("%s: %w", path, errors.ErrUnsupported)
}

// built is what a Build gave, for tests.
type built struct {
	*Tree
	nodes   map[cid.Cid][]byte
	skipped map[string]error
}

func (b *built) get(c cid.Cid) ([]byte, error) {
	if n, ok := b.nodes[c]; ok {
		return n, nil
	}
	return nil, fmt.Errorf("node %s was never put", c)
}

// build runs Build and checks what it promises of its callbacks.
func build(t testing.TB, path string, cfg Config) *built {
	t.Helper()
	b := &built{nodes: make(map[cid.Cid][]byte), skipped: make(map[string]error)}
	cfg.Skip = func(p string, err error) { b.skipped[p] = err }
	var files, bytes int64
	cfg.Progress = func(f, n int64) { files, bytes = f, n }
	tree, err := Build(t.Context(), path, cfg, func(c cid.Cid, block []byte) error {
		b.nodes[c] = block
		return nil
	})
	if err != nil {
		t.Fatalf("Build %s: %v", path, err)
	}
	if files != int64(tree.Files) || bytes != tree.Size {
		t.Errorf("last progress is %d files, %d bytes; the tree has %d, %d", files, bytes, tree.Files, tree.Size)
	}
	b.Tree = tree
	return b
}

// small is a profile with which a few KiB fill several levels.
func small(chunk, links int) Profile {
	return Profile{Name: "small", ChunkSize: chunk, LinksPerNode: links, HAMTFanout: 16, HAMTThreshold: 2000}
}

// compare builds path both ways and wants the same root and the same inner nodes.
func compare(t *testing.T, path string, cfg Config) *built {
	t.Helper()
	if cfg.Profile == (Profile{}) {
		cfg.Profile = UnixFSV1_2025()
	}
	o := &oracle{profile: cfg.Profile, preserve: cfg.Preserve, noHidden: cfg.NoHidden, nodes: make(nodeMap)}
	n, err := o.node(path)
	if err != nil {
		t.Fatal(err)
	}
	b := build(t, path, cfg)
	if !b.Root.Equals(n.Cid()) {
		t.Fatalf("root is %s, boxo's is %s", b.Root, n.Cid())
	}
	for c := range b.nodes {
		if _, ok := o.nodes[c]; !ok {
			t.Errorf("boxo has no node %s", c)
		}
	}
	return b
}

// at is a fixed time with nanoseconds, as files have it.
var at = time.Date(2026, 11, 23, 1, 2, 3, 456789000, time.UTC)
