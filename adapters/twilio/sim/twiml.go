package sim

import (
	"encoding/xml"
	"fmt"
	"strings"

	"github.com/patchbay/patchbay/core/media"
)

// element is any TwiML element.
type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Text     string     `xml:",chardata"`
	Children []element  `xml:",any"`
}

func (e element) attr(name string) string {
	for _, a := range e.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// String shows the element as a person would say it: "Dial +15550100".
func (e element) String() string {
	words := []string{e.XMLName.Local}
	if t := strings.TrimSpace(e.Text); t != "" {
		words = append(words, t)
	}
	for _, c := range e.Children {
		words = append(words, strings.TrimSpace(c.Text))
	}
	return strings.Join(words, " ")
}

// parseTwiML returns the verbs of a response.
func parseTwiML(b []byte) ([]element, error) {
	var root element
	if err := xml.Unmarshal(b, &root); err != nil {
		return nil, fmt.Errorf("12100 document parse failure: %w", err)
	}
	if root.XMLName.Local != "Response" { // names are case-sensitive
		return nil, fmt.Errorf("12100 document parse failure: the root is <%s>", root.XMLName.Local)
	}
	return root.Children, nil
}

// streamVerb is a <Stream> of a <Start>.
type streamVerb struct {
	url, status string
	tracks      []media.TrackID
	parameters  map[string]string
}

func parseStream(e element) (streamVerb, error) {
	v := streamVerb{url: e.attr("url"), status: e.attr("statusCallback"), parameters: map[string]string{}}
	tracks, err := parseTrack(e.attr("track"))
	if err != nil {
		return v, err
	}
	v.tracks = tracks
	for _, p := range e.Children {
		name, value := p.attr("name"), p.attr("value")
		if p.XMLName.Local != "Parameter" || len(name)+len(value) >= 500 {
			return v, fmt.Errorf("12200 schema validation warning: <%s> in <Stream>, or a parameter of 500 characters", p.XMLName.Local)
		}
		v.parameters[name] = value
	}
	switch {
	case strings.ContainsAny(v.url, "?#"):
		return v, &StreamError{31920, "the stream's URL has a query"}
	case !strings.HasPrefix(v.url, "wss://") && !strings.HasPrefix(v.url, "ws://127.0.0.1") && !strings.HasPrefix(v.url, "ws://localhost"):
		return v, &StreamError{31922, "the stream's URL is not wss"}
	}
	return v, nil
}

func parseTrack(s string) ([]media.TrackID, error) {
	switch s {
	case "", "inbound_track":
		return []media.TrackID{Inbound}, nil
	case "outbound_track":
		return []media.TrackID{Outbound}, nil
	case "both_tracks":
		return []media.TrackID{Inbound, Outbound}, nil
	}
	return nil, &StreamError{31941, "invalid track " + s}
}
