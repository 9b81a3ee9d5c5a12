package api

// Nearest is the candidate that word may have been meant for: it differs by two letters at most. "" if there is none.
func Nearest(word string, candidates []string) string {
	best, least := "", 3
	for _, c := range candidates {
		d := distance(word, c)
		if d < len(word) && d < len(c) && (d < least || d == least && c < best) {
			best, least = c, d
		}
	}
	return best
}

// distance is Levenshtein's, by bytes: insertions, deletions and replacements. Of long words it is only known to be long.
func distance(a, b string) int {
	if len(a) > len(b)+2 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
