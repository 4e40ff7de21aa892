package aws

import (
	"encoding/base64"
	"slices"
	"sort"
	"strings"
)

// pageOf returns the part of list that follows token, at most size long, and
// the token of the next part; "" after the last. Tokens name the last object
// that was given, so an object that comes or goes between two pages does not
// shift the others. They are good for one action only.
func pageOf[T any](c *call, list []T, id func(T) string, token string, size int) (part []T, next string, err error) {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b T) int { return strings.Compare(id(a), id(b)) })
	first := 0
	if token != "" {
		after, ok := c.openToken(token)
		if !ok {
			return nil, "", c.problem(badToken, "The specified pagination token is not valid or is expired.")
		}
		first = sort.Search(len(list), func(i int) bool { return id(list[i]) > after })
	}
	list = list[first:]
	if len(list) <= size {
		return list, "", nil
	}
	return list[:size], c.token(id(list[size-1])), nil
}

func (c *call) token(after string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(c.permission() + "\x00" + after))
}

func (c *call) openToken(token string) (after string, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return "", false
	}
	return strings.CutPrefix(string(b), c.permission()+"\x00")
}

// pageSize is how many objects one answer holds: what the request asks for at
// p, within the operation's bounds, and not more than the server's own limit.
func (c *call) pageSize(p *param, least, most int) (int, error) {
	limit := c.server.opts.PageSize
	if limit <= 0 {
		limit = 1000
	}
	n, err := c.int32(p)
	switch {
	case err != nil:
		return 0, err
	case n == nil:
		return min(limit, most), nil
	case int(*n) < least:
		return 0, c.invalid("Value ( %d ) for parameter %s is invalid. Expecting a value greater than %d.", *n, lowerFirst(p.name), least)
	case int(*n) > most:
		return 0, c.invalid("Value ( %d ) for parameter %s is invalid. Expecting a value smaller than %d.", *n, lowerFirst(p.name), most)
	}
	return min(limit, int(*n)), nil
}
