package node

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/ipfs/go-cid"

	"shoal/chunker"
)

// TestFileOneLeafTwoSizes: a false DAG names one leaf at two places, as of two sizes. The
// reader is told, and gets nothing that is shorter or longer than it should be.
func TestFileOneLeafTwoSizes(t *testing.T) {
	leaf := make([]byte, 100)
	sum := sha256.Sum256(leaf)
	for _, size := range []int{10, 300} {
		var links, data []byte
		for _, n := range []int{len(leaf), size} {
			link := append([]byte{0x0a, 36, 1, 0x55, 0x12, 32}, sum[:]...)
			link = binary.AppendUvarint(append(link, 0x12, 0, 0x18), uint64(n))
			links = append(binary.AppendUvarint(append(links, 0x12), uint64(len(link))), link...)
			data = binary.AppendUvarint(append(data, 0x20), uint64(n))
		}
		data = append(binary.AppendUvarint([]byte{0x08, 0x02, 0x18}, uint64(len(leaf)+size)), data...)
		block := append(binary.AppendUvarint(append(links, 0x0a), uint64(len(data))), data...)
		root, err := cid.V1Builder{Codec: cid.DagProtobuf, MhType: 0x12}.Sum(block)
		if err != nil {
			t.Fatal(err)
		}
		f, err := newFile(nil, chunker.Link{Root: root}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.add(block); err != nil {
			t.Fatal(err)
		}
		c := &chunk{cid: f.walker.Layout().Leaf(0).CID, data: leaf, refs: 2}
		f.leaf, f.next, f.slots[0], f.slots[1] = 0, 2, c, c
		if n, err := f.WriteTo(io.Discard); n != int64(len(leaf)) || !errors.Is(err, chunker.ErrMismatch) {
			t.Errorf("second place of %d bytes: read %d, error %v", size, n, err)
		}
	}
}
