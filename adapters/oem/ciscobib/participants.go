package ciscobib

import (
	"strconv"
	"strings"

	"github.com/patchbay/patchbay/adapters/oem/siprec"
)

// HeaderParticipant is CUBE's header that says whose stream an m= line is. There are
// several, one a line; a re-INVITE brings the list anew.
const HeaderParticipant = "X-Cisco-Recording-Participant"

// maxParticipants bounds the list of Participants.
const maxParticipants = 64

// Participant is one party of a call that CUBE records without SIPREC.
type Participant struct {
	URI   string
	Index int // among the m= lines, as CUBE counts; see Participants
}

// Participants reads the values of HeaderParticipant. What has no readable index is left
// out. CUBE counts from 0; a list that begins at 1 and whose highest index is not among
// lines is counted from 1.
func Participants(values []string, lines int) []Participant {
	var list []Participant
	lowest, highest := -1, -1
	for _, v := range values {
		v = strings.ToValidUTF8(v, "")
		var u string
		rest := v
		if i := strings.IndexByte(v, '<'); i >= 0 {
			u = siprec.URI(v)
			_, rest, _ = strings.Cut(v[i:], ">")
		} else {
			u, _, _ = strings.Cut(v, ";")
		}
		n, ok := index(rest)
		if !ok || len(list) == maxParticipants || len(u) > maxValue {
			continue
		}
		if lowest < 0 || n < lowest {
			lowest = n
		}
		highest = max(highest, n)
		list = append(list, Participant{URI: strings.TrimSpace(u), Index: n})
	}
	if lowest == 1 && highest >= lines {
		for i := range list {
			list[i].Index--
		}
	}
	return list
}

// index finds media-index="n" among parameters.
func index(s string) (int, bool) {
	for one := range strings.SplitSeq(s, ";") {
		name, value, _ := strings.Cut(one, "=")
		if strings.EqualFold(strings.TrimSpace(name), "media-index") {
			n, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 8)
			return int(n), err == nil
		}
	}
	return 0, false
}
