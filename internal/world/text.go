package world

import (
	"bytes"
	"cmp"
	"regexp"
	"strconv"
	"strings"
)

// sentence is the first sentence of lines of prose.
func sentence(lines []string) string {
	text := strings.Join(strings.Fields(strings.Join(lines, " ")), " ")
	if i := strings.Index(text, ". "); i >= 0 {
		return text[:i+1]
	}
	return text
}

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
