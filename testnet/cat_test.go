package testnet_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"shoal/node/api"
	"shoal/testnet"
)

// hashCat reads a link through a daemon and hashes what comes; at is called once,
// when so many bytes have come.
func hashCat(p *testnet.Peer, req api.CatRequest, after int64, at func()) (sum string, r api.CatResult, err error) {
	h := &hashWriter{after: after, at: at}
	sha := sha256.New()
	r, err = p.Client().Cat(context.Background(), req, io.MultiWriter(sha, h), nil)
	return fmt.Sprintf("%x", sha.Sum(nil)), r, err
}

type hashWriter struct {
	n, after int64
	at       func()
}

func (h *hashWriter) Write(p []byte) (int, error) {
	if h.n += int64(len(p)); h.at != nil && h.n >= h.after {
		h.at()
		h.at = nil
	}
	return len(p), nil
}

// sumOf hashes bytes [first, end) of a file.
func sumOf(t *testing.T, path string, first, end int64) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sha := sha256.New()
	if _, err := io.Copy(sha, io.NewSectionReader(f, first, end-first)); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha.Sum(nil))
}

// TestCat reads a large file and parts of it from several peers, of which one stops
// moving on the way, and stops reading on the way.
func TestCat(t *testing.T) {
	t.Parallel()
	const size = 192 * chunk
	lab := testnet.Start(t, 4, testnet.Options{})
	sharer, second, third, reader := lab.Peers[0], lab.Peers[1], lab.Peers[2], lab.Peers[3]
	path := testnet.RandomFile(t, sharer.Path("film"), size, 1)
	shared := sharer.Share(path)
	for _, p := range []*testnet.Peer{second, third} {
		p.Get(shared.CID, p.Path("film"))
		lab.Meet(reader, p)
	}
	whole := sumOf(t, path, 0, size)

	sum, r, err := hashCat(reader, api.CatRequest{Link: shared.CID}, 0, nil)
	if err != nil || sum != whole || r.Bytes != size || len(r.From) < 2 {
		t.Errorf("all: %+v, %v", r, err)
	}
	sum, r, err = hashCat(reader, api.CatRequest{Link: shared.Link, Range: "100000000-150000000"}, 0, nil)
	if err != nil || sum != sumOf(t, path, 100_000_000, 150_000_001) {
		t.Errorf("a range: %+v, %v", r, err)
	}

	before := receivedBy(t, reader)
	enough := errors.New("enough")
	_, err = reader.Client().Cat(t.Context(), api.CatRequest{Link: shared.CID}, failing{enough}, nil)
	if !errors.Is(err, enough) {
		t.Errorf("a reader that stops: %v", err)
	}
	if got := receivedBy(t, reader) - before; got > size/4 {
		t.Errorf("%d bytes came for a reader that took none", got)
	}
	if _, ok := reader.FindShare(shared.CID); ok {
		t.Error("what was only read is listed")
	}

	sum, r, err = hashCat(reader, api.CatRequest{Link: shared.CID}, size/3, second.Freeze)
	second.Thaw()
	if err != nil || sum != whole {
		t.Errorf("with a peer that stops moving: %+v, %v", r, err)
	}
	sum, r, err = hashCat(reader, api.CatRequest{Link: shared.CID}, size/3, sharer.Kill)
	if err != nil || sum != whole {
		t.Errorf("with a peer that is killed: %+v, %v", r, err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func receivedBy(t *testing.T, p *testnet.Peer) int64 {
	t.Helper()
	s, err := p.Client().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.Received
}
