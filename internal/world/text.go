package world

import (
	"bytes"
	"cmp"
	"regexp"
	"slices"
	"strconv"
)

// yamlLine takes the line out of a YAML error, 0 when it tells none.
func yamlLine(err error) int {
	if m := regexp.MustCompile(`line (\d+)`).FindStringSubmatch(err.Error()); m != nil {
		n, _ := strconv.Atoi(m[1])
		return n
	}
	return 0
}

// fieldLine finds the line of data that holds the field which a JSON error
// names, 1 when it names none.
func fieldLine(err error, data []byte) int {
	m := regexp.MustCompile(`unknown field "([^"]+)"|field \S*?\.?([A-Za-z]+) of type`).FindStringSubmatch(err.Error())
	if m == nil {
		return 1
	}
	field := cmp.Or(m[1], m[2])
	for i, line := range bytes.Split(data, []byte("\n")) {
		if regexp.MustCompile(`(^|[\s"{,-])` + regexp.QuoteMeta(field) + `"?\s*:`).Match(line) {
			return i + 1
		}
	}
	return 1
}

// nearest returns the n words most like w.
func nearest(w string, words []string, n int) []string {
	words = slices.Clone(words)
	slices.SortStableFunc(words, func(a, b string) int { return cmp.Compare(distance(w, a), distance(w, b)) })
	return words[:min(n, len(words))]
}

// distance is the Levenshtein distance of a and b, in bytes.
func distance(a, b string) int {
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
