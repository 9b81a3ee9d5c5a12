package store

// span is the leaves [first, first+n).
type span struct{ first, n int }

// addSpan appends leaf i, to the last span where it fits.
func addSpan(list []span, i int) []span {
	if k := len(list); k > 0 && list[k-1].first+list[k-1].n == i {
		list[k-1].n++
		return list
	}
	return append(list, span{i, 1})
}
