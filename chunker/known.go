package chunker

// known asks whether the digests of a file are known.
func (b *builder) known(rel string, is FileStat) func(int) [32]byte {
	if b.cfg.Known == nil || is.Size == 0 {
		return nil
	}
	return b.cfg.Known(rel, is)
}

// reuse makes a file of digests that are known. It gives the same nodes as reading it does.
func (b *builder) reuse(digest func(int) [32]byte, size int64, a attrs) (child, error) {
	chunk, width := int64(b.cfg.Profile.ChunkSize), b.cfg.Profile.LinksPerNode
	chunks := int((size + chunk - 1) / chunk)
	leaf := func(i int) child {
		n := uint64(min(chunk, size-int64(i)*chunk))
		return child{digest: digest(i), raw: true, size: n, tsize: n}
	}
	defer b.meter.add(0, size)
	if chunks == 1 && !a.any() {
		return leaf(0), nil
	}
	var bottom []child // nodes, or the leaves where one node holds them all
	for first := 0; first < chunks; first += width {
		kids := make([]child, min(width, chunks-first))
		for i := range kids {
			kids[i] = leaf(first + i)
		}
		if chunks <= width {
			bottom = kids
			break
		}
		c, err := b.fileNode(kids, attrs{})
		if err != nil {
			return child{}, err
		}
		bottom = append(bottom, c)
	}
	return b.pack(bottom, a)
}
