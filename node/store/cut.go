package store

import "errors"

// cut says how a file's content is cut into leaves: all of one size but the
// last (what nearly every importer makes), or each of its own size.
type cut struct {
	leaves int
	size   int64   // bytes of content
	chunk  int64   // bytes of every leaf but the last; 0: ends is used
	ends   []int64 // end offset of each leaf
}

// newCut takes the sizes of consecutive leaves.
func newCut(leaves int, sizeOf func(k int) int64) cut {
	c := cut{leaves: leaves}
	uniform := true
	for k := range leaves {
		n := sizeOf(k)
		if k == 0 {
			c.chunk = n
		} else if n > c.chunk || (k < leaves-1 && n != c.chunk) || n == 0 {
			uniform = false
		}
		c.size += n
	}
	if uniform && (c.chunk > 0 || leaves < 2) {
		if leaves < 2 {
			c.chunk = max(c.size, 1)
		}
		return c
	}
	c.chunk, c.ends = 0, make([]int64, leaves)
	var end int64
	for k := range leaves {
		end += sizeOf(k)
		c.ends[k] = end
	}
	return c
}

// at is the place of leaf k of the file.
func (c *cut) at(k int) (offset int64, size int) {
	if c.chunk > 0 {
		offset = int64(k) * c.chunk
		return offset, int(min(c.chunk, c.size-offset))
	}
	if k > 0 {
		offset = c.ends[k-1]
	}
	return offset, int(c.ends[k] - offset)
}

func (c *cut) encode(e *encoder) {
	e.uint(uint64(c.leaves))
	e.uint(uint64(c.chunk))
	if c.chunk > 0 {
		e.uint(uint64(c.size))
		return
	}
	var last int64
	for _, end := range c.ends {
		e.uint(uint64(end - last))
		last = end
	}
}

func decodeCut(d *decoder) cut {
	c := cut{leaves: d.count(), chunk: d.size()}
	if c.chunk > 0 {
		c.size = d.size()
		// The last leaf must not be empty or too long, or offsets would run wild.
		n := int64(c.leaves)
		if full := (c.size + c.chunk - 1) / c.chunk; c.size+c.chunk < c.size || (full != n && !(c.size == 0 && n <= 1)) {
			d.fail(errors.New("leaf sizes do not add up"))
		}
		return c
	}
	if c.leaves > len(d.buf) {
		d.fail(errShort)
		return cut{}
	}
	c.ends = make([]int64, c.leaves)
	for k := range c.ends {
		n := d.size()
		if c.size += n; c.size < n {
			d.fail(errors.New("leaf sizes overflow"))
			return cut{}
		}
		c.ends[k] = c.size
	}
	return c
}
