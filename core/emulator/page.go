package emulator

import (
	"strconv"
)

// Pages of lists: the default and the largest size (agent-assist.md §2).
const (
	defaultPage = 100
	largestPage = 1000
)

// pageOf cuts one page from a list. A token is the number of entries to skip.
func pageOf[T any](list []T, size int32, token string) (page []T, next string, err error) {
	if size < 0 {
		return nil, "", invalid("page_size %d is negative", size)
	}
	n := int(size)
	if n == 0 {
		n = defaultPage
	}
	n = min(n, largestPage)
	skip := 0
	if token != "" {
		if skip, err = strconv.Atoi(token); err != nil || skip < 0 {
			return nil, "", invalid("page_token %.40q was not given by this emulator", token)
		}
	}
	if skip >= len(list) {
		return nil, "", nil
	}
	list = list[skip:]
	if len(list) <= n {
		return list, "", nil
	}
	return list[:n], strconv.Itoa(skip + n), nil
}
