package siprec

// Headers looks up the header lines of a SIP request.
type Headers interface {
	// Values returns the values of a header in the order of their lines, whatever the case
	// of the name and whether it was written in its compact form.
	Values(name string) []string
}

// first returns the first value of a header.
func first(h Headers, name string) string {
	if h == nil {
		return ""
	}
	if v := h.Values(name); len(v) > 0 {
		return v[0]
	}
	return ""
}
