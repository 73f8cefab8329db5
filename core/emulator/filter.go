package emulator

import (
	"strconv"
	"strings"
	"time"
)

// filter is a conjunction of comparisons, the part of Google's filter language
// (AIP-160) that the emulated lists document.
type filter []comparison

type comparison struct {
	field, op, value string
}

// parseFilter reads `field OP value [AND …]`, OP being one of = > < >= <=. Values
// may be quoted. An empty filter lets everything pass.
func parseFilter(text string) (filter, error) {
	if len(text) > 1000 {
		return nil, invalid("filter is longer than 1000 characters")
	}
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var f filter
	for term := range strings.SplitSeq(text, " AND ") {
		i := strings.IndexAny(term, "<>=")
		if i < 0 {
			return nil, invalid("filter %q: want field OP value, OP one of = > < >= <=", term)
		}
		op := term[i : i+1]
		if op != "=" && strings.HasPrefix(term[i+1:], "=") {
			op += "="
		}
		c := comparison{field: strings.TrimSpace(term[:i]), op: op, value: strings.TrimSpace(term[i+len(op):])}
		if n := len(c.value); n >= 2 && c.value[0] == '"' && c.value[n-1] == '"' {
			c.value = c.value[1 : n-1]
		}
		if c.field == "" || c.value == "" || strings.ContainsAny(c.value, `"<>=`) {
			return nil, invalid("filter %q: want field OP value", term)
		}
		f = append(f, c)
	}
	return f, nil
}

// only fails for a field that is not in the list.
func (f filter) only(fields ...string) error {
next:
	for _, c := range f {
		for _, name := range fields {
			if c.field == name {
				continue next
			}
		}
		return invalid("filter: unknown field %.100q; this list knows %s", c.field, strings.Join(fields, ", "))
	}
	return nil
}

// text applies the comparisons of a text field, of which only = is one.
func (f filter) text(field, value string) bool {
	for _, c := range f {
		if c.field == field && (c.op != "=" || !strings.EqualFold(c.value, value)) {
			return false
		}
	}
	return true
}

// bounds turns the comparisons of create_time and create_time_epoch_microseconds
// into a test for times.
func (f filter) bounds() (func(time.Time) bool, error) {
	type bound struct {
		op string
		t  time.Time
	}
	var bounds []bound
	for _, c := range f {
		var t time.Time
		var err error
		if c.field == "create_time" {
			t, err = time.Parse(time.RFC3339Nano, c.value)
		} else {
			var us int64
			us, err = strconv.ParseInt(c.value, 10, 64)
			t = time.UnixMicro(us)
		}
		if err != nil {
			return nil, invalid("filter: %s has no usable value %.100q", c.field, c.value)
		}
		bounds = append(bounds, bound{c.op, t})
	}
	return func(at time.Time) bool {
		for _, b := range bounds {
			d := at.Compare(b.t)
			ok := map[string]bool{"=": d == 0, ">": d > 0, "<": d < 0, ">=": d >= 0, "<=": d <= 0}[b.op]
			if !ok {
				return false
			}
		}
		return true
	}, nil
}
