package sched

// pageWords words of 64 leaves make a page of a bitmap.
const (
	pageWords  = 64
	pageLeaves = pageWords * 64
)

type page [pageWords]uint64

// fullPage stands for every page with all bits set. It is shared and never
// written, so that a long run costs a pointer per 4,096 leaves.
var fullPage = func() *page {
	var p page
	for i := range p {
		p[i] = ^uint64(0)
	}
	return &p
}()

// haves is what a peer has: everything or nothing, except for the leaves marked
// in pages. A full seed costs no bits, a partial one a bit a leaf where it has
// any, and leaves that we do not know yet may be marked already.
type haves struct {
	all    bool
	pages  []*page // nil where no leaf is marked
	marked int     // bits set in pages
}

func (h *haves) mark(w int) uint64 {
	if i := w / pageWords; i < len(h.pages) && h.pages[i] != nil {
		return h.pages[i][w%pageWords]
	}
	return 0
}

// word returns which of the leaves [64w, 64w+64) the peer has.
func (h *haves) word(w int) uint64 {
	if h.all {
		return ^h.mark(w)
	}
	return h.mark(w)
}

func (h *haves) has(l Leaf) bool {
	return h.word(int(l/64))&(1<<(l%64)) != 0
}

// seed reports whether the peer has everything, without exception.
func (h *haves) seed() bool { return h.all && h.marked == 0 }

// partial reports whether the peer has something but not everything.
func (h *haves) partial() bool { return h.marked > 0 }

// at returns the page's slot.
func (h *haves) at(i int) **page {
	for i >= len(h.pages) {
		h.pages = append(h.pages, nil)
	}
	return &h.pages[i]
}

// flip inverts the marks of the given bits of a word; on tells which way they go.
func (h *haves) flip(w int, bits uint64, n int, on bool) {
	p := h.at(w / pageWords)
	switch *p {
	case nil:
		*p = new(page)
	case fullPage:
		c := *fullPage
		*p = &c
	}
	(*p)[w%pageWords] ^= bits
	if on == h.all {
		n = -n
	}
	h.marked += n
}

// paint sets a whole page, beyond the known leaves, to one colour.
func (h *haves) paint(i int, on bool) {
	p := h.at(i)
	was := 0
	if *p != nil {
		was = popcount((*p)[:])
	}
	if on != h.all {
		*p = fullPage
		h.marked += pageLeaves - was
		return
	}
	*p = nil
	h.marked -= was
}

// painted reports whether a whole page has that colour already.
func (h *haves) painted(i int, on bool) bool {
	if i >= len(h.pages) || h.pages[i] == nil {
		return on == h.all
	}
	return h.pages[i] == fullPage && on != h.all
}
