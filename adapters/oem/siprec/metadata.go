package siprec

import (
	"errors"
	"fmt"
)

// ParseMetadata reads a metadata document. The error matches ErrMetadata and is never a
// reason to refuse a call. What could be read is returned beside it as a partial
// document, so that a broken one makes nobody forget what is known.
func ParseMetadata(text []byte) (Document, error) {
	root, err := parseTree(text)
	var d Document
	if root != nil {
		in := interpreter{d: &d}
		if !in.document(root) {
			err = errors.Join(err, fmt.Errorf("%w: the root is no recording", ErrMetadata))
		}
	}
	d.Partial = d.Partial || err != nil
	return d, err
}
