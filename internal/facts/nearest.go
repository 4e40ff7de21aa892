package facts

import (
	"cmp"
	"slices"
	"strings"
)

// Nearest returns the n words most like word, the likest first: what an error
// message offers for a typo.
func Nearest(word string, words []string, n int) []string {
	words = slices.Clone(words)
	slices.SortStableFunc(words, func(a, b string) int { return cmp.Compare(Distance(word, a), Distance(word, b)) })
	return words[:min(n, len(words))]
}

// Distance is the Levenshtein distance of a and b in bytes, whatever their
// case.
func Distance(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		left, diag := i+1, i
		for j := range len(b) {
			d := diag
			if a[i] != b[j] {
				d = 1 + min(diag, left, row[j+1])
			}
			diag, left, row[j] = row[j+1], d, left
		}
		row[len(b)] = left
	}
	return row[len(b)]
}
