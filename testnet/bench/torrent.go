package main

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// bencode writes v (int, int64, string, []any or map[string]any) as BEP 3 says.
func bencode(w *bytes.Buffer, v any) {
	switch v := v.(type) {
	case int, int64:
		fmt.Fprintf(w, "i%de", v)
	case string:
		fmt.Fprintf(w, "%d:%s", len(v), v)
	case []any:
		w.WriteByte('l')
		for _, e := range v {
			bencode(w, e)
		}
		w.WriteByte('e')
	case map[string]any:
		w.WriteByte('d')
		for _, k := range slices.Sorted(maps.Keys(v)) {
			bencode(w, k)
			bencode(w, v[k])
		}
		w.WriteByte('e')
	default:
		panic(fmt.Sprintf("bencode: %T", v)) // a bug here, not input
	}
}

// makeTorrent writes the torrent of a file or tree to dest.
func makeTorrent(path, tracker, dest string) error {
	pieceLength := int64(256 << 10)
	total := treeSize(path)
	if total > 256<<20 {
		pieceLength = 1 << 20
	}
	info := map[string]any{"name": filepath.Base(path), "piece length": pieceLength, "private": 1}
	pieces := &pieceHasher{length: pieceLength}
	var files []any
	err := filepath.WalkDir(path, func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		n, err := pieces.file(file)
		rel, _ := filepath.Rel(path, file)
		var parts []any
		for part := range strings.SplitSeq(filepath.ToSlash(rel), "/") {
			parts = append(parts, part)
		}
		files = append(files, map[string]any{"length": n, "path": parts})
		return err
	})
	if err != nil {
		return fmt.Errorf("make a torrent of %s: %w", path, err)
	}
	if fi, err := os.Stat(path); err == nil && fi.IsDir() {
		info["files"] = files
	} else {
		info["length"] = total
	}
	info["pieces"] = pieces.sums()
	var out bytes.Buffer
	bencode(&out, map[string]any{"announce": tracker, "info": info})
	return os.WriteFile(dest, out.Bytes(), 0o644)
}

// pieceHasher gathers the SHA-1 sums of the pieces of files laid end to end.
type pieceHasher struct {
	length int64
	piece  bytes.Buffer
	done   bytes.Buffer
}

func (p *pieceHasher) file(path string) (size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for {
		n, err := io.CopyN(&p.piece, f, p.length-int64(p.piece.Len()))
		size += n
		if int64(p.piece.Len()) == p.length {
			p.flush()
		}
		if err == io.EOF {
			return size, nil
		}
		if err != nil {
			return size, err
		}
	}
}

func (p *pieceHasher) flush() {
	sum := sha1.Sum(p.piece.Bytes())
	p.done.Write(sum[:])
	p.piece.Reset()
}

func (p *pieceHasher) sums() string {
	if p.piece.Len() > 0 {
		p.flush()
	}
	return p.done.String()
}
