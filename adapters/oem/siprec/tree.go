package siprec

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// element is a piece of a document. Names are local ones: namespaces differ even between
// versions of one vendor.
type element struct {
	name  string
	space string // namespace, or the prefix where it is not declared
	attrs []xml.Attr
	text  string
	kids  []*element
}

// attr returns the first attribute with one of the names, without case.
func (e *element) attr(names ...string) string {
	for _, n := range names {
		for _, a := range e.attrs {
			if strings.EqualFold(a.Name.Local, n) && a.Name.Space != "xmlns" {
				if v := strings.TrimSpace(a.Value); v != "" {
					return v
				}
			}
		}
	}
	return ""
}

// kid returns the first child with one of the names, without case.
func (e *element) kid(names ...string) *element {
	for _, n := range names {
		for _, k := range e.kids {
			if strings.EqualFold(k.name, n) {
				return k
			}
		}
	}
	return nil
}

// textOf returns the text of the first child with one of the names.
func (e *element) textOf(names ...string) string {
	if k := e.kid(names...); k != nil {
		return k.text
	}
	return ""
}

// parseTree reads a document into elements, up to the bounds. Entities and document types
// are not expanded. The tree may be there beside an error.
func parseTree(text []byte) (root *element, err error) {
	if len(text) > MaxBody {
		text, err = whole(text[:MaxBody]), fmt.Errorf("%w: over 64 KB; its end was left out", ErrMetadata)
	}
	start := bytes.IndexByte(text, '<')
	if start < 0 {
		return nil, errors.Join(err, fmt.Errorf("%w: no XML", ErrMetadata))
	}
	d := xml.NewDecoder(bytes.NewReader(prolog(text[start:])))
	d.Strict = false
	var open []*element
	elements := 0
	for {
		token, e := d.Token()
		if errors.Is(e, io.EOF) {
			break
		}
		if e != nil {
			return root, errors.Join(err, fmt.Errorf("%w: %s", ErrMetadata, firstLine(e.Error())))
		}
		switch t := token.(type) {
		case xml.StartElement:
			if elements++; elements > MaxElements || len(open) == MaxDepth {
				return root, errors.Join(err, fmt.Errorf("%w: more than %d elements or %d levels", ErrMetadata, MaxElements, MaxDepth))
			}
			now := &element{name: t.Name.Local, space: t.Name.Space, attrs: clip(t.Attr)}
			if len(open) > 0 {
				parent := open[len(open)-1]
				parent.kids = append(parent.kids, now)
			} else if root == nil {
				root = now
			}
			open = append(open, now)
		case xml.EndElement:
			if len(open) > 0 {
				last := open[len(open)-1]
				last.text = strings.TrimSpace(last.text)
				open = open[:len(open)-1]
			}
		case xml.CharData:
			if len(open) > 0 {
				last := open[len(open)-1]
				last.text += clean(t, MaxText-len(last.text))
			}
		}
	}
	if root == nil {
		return nil, errors.Join(err, fmt.Errorf("%w: no element", ErrMetadata))
	}
	return root, err
}

// prolog removes the XML declaration, which Go's reader is strict about, and what it
// would stop at: control characters, and text in another encoding than UTF-8, which is
// read as Latin-1.
func prolog(text []byte) []byte {
	if bytes.HasPrefix(text, []byte("<?xml")) {
		if i := bytes.Index(text, []byte("?>")); i >= 0 {
			text = text[i+2:]
		}
	}
	valid := utf8.Valid(text)
	if valid && !bytes.ContainsFunc(text, forbidden) {
		return text
	}
	out := make([]rune, 0, len(text))
	add := func(c rune) {
		if forbidden(c) {
			c = ' '
		}
		out = append(out, c)
	}
	if valid {
		for _, c := range string(text) {
			add(c)
		}
	} else {
		for _, c := range text {
			add(rune(c))
		}
	}
	return []byte(string(out))
}

// forbidden reports whether XML 1.0 has no place for a character.
func forbidden(c rune) bool {
	return c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0xFFFE || c == 0xFFFF
}

// whole removes the beginning of a character that a cut has left at the end.
func whole(text []byte) []byte {
	for range utf8.UTFMax {
		if c, size := utf8.DecodeLastRune(text); c != utf8.RuneError || size != 1 {
			break
		}
		text = text[:len(text)-1]
	}
	return text
}

const maxAttrs = 32

func clip(attrs []xml.Attr) []xml.Attr {
	attrs = attrs[:min(len(attrs), maxAttrs)]
	for i := range attrs {
		attrs[i].Value = clean([]byte(attrs[i].Value), MaxText)
	}
	return attrs
}

// clean returns at most n bytes of valid UTF-8.
func clean(b []byte, n int) string {
	b = b[:min(len(b), max(n, 0))]
	return strings.ToValidUTF8(string(b), "")
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}
