package audiohook

import (
	"slices"

	"github.com/patchbay/patchbay/core/media"
)

// The channels of a session, which are the tracks of its leg.
const (
	channelCustomer = "external"
	channelAgent    = "internal"
)

// The formats of audio.
const (
	formatPCMU = "PCMU"
	formatL16  = "L16"
)

// choose returns the entry of an offer that is heard: both voices rather than one, the
// customer rather than the agent, PCMU rather than L16.
func (c Config) choose(offer []mediaEntry) (best mediaEntry, ok bool) {
	most := 0
	for _, m := range offer {
		if worth := c.worth(m); worth > most {
			best, most = m, worth
		}
	}
	return best, most > 0
}

// worth ranks an entry; 0 cannot be heard.
func (c Config) worth(m mediaEntry) int {
	worth := 0
	switch {
	case m.Type != "audio" || formatOf(m).Validate() != nil || m.Format == formatL16 && c.L16 == L16Off:
		return 0
	case len(m.Channels) == 2 && slices.Contains(m.Channels, channelCustomer) && slices.Contains(m.Channels, channelAgent):
		worth = 6
	case len(m.Channels) == 1 && m.Channels[0] == channelCustomer:
		worth = 4
	case len(m.Channels) == 1 && m.Channels[0] == channelAgent:
		worth = 2
	default:
		return 0
	}
	if m.Format == formatPCMU {
		worth++
	}
	return worth
}

// formatOf returns the format of each channel.
func formatOf(m mediaEntry) media.Format {
	f := media.Format{Rate: m.Rate}
	switch m.Format {
	case formatPCMU:
		f.Encoding = media.MuLaw
	case formatL16:
		f.Encoding = media.Linear16
	}
	return f
}

// splitter takes the channels of a session apart. Messages may have any length, and end
// within a sample of all channels. The zero value must be given channels and size.
type splitter struct {
	channels int
	size     int  // bytes of a sample of one channel: 1 or 2
	swap     bool // the bytes of a sample come high one first

	left [4]byte // of a sample of all channels that has begun
	n    int
	out  [2][]byte
}

func newSplitter(m mediaEntry, order string) splitter {
	f := formatOf(m)
	return splitter{channels: len(m.Channels), size: f.SampleBytes(), swap: f.Encoding == media.Linear16 && order == L16Big}
}

// split returns the whole samples of each channel, in the order of the channels. They
// are valid until the next call.
func (s *splitter) split(b []byte) [2][]byte {
	s.out[0], s.out[1] = s.out[0][:0], s.out[1][:0]
	step := s.channels * s.size
	if s.n > 0 {
		took := copy(s.left[s.n:step], b)
		b = b[took:]
		if s.n += took; s.n < step {
			return s.out
		}
		s.take(s.left[:step])
		s.n = 0
	}
	whole := len(b) - len(b)%step
	s.take(b[:whole])
	s.n = copy(s.left[:], b[whole:])
	if s.swap {
		for _, out := range s.out {
			for i := 0; i+1 < len(out); i += 2 {
				out[i], out[i+1] = out[i+1], out[i]
			}
		}
	}
	return s.out
}

// take appends whole samples of all channels to what goes out.
func (s *splitter) take(b []byte) {
	switch {
	case s.channels == 1:
		s.out[0] = append(s.out[0], b...)
	case s.size == 1:
		n, m := len(s.out[0]), len(b)/2
		first, second := slices.Grow(s.out[0], m)[:n+m], slices.Grow(s.out[1], m)[:n+m]
		for i := range m {
			first[n+i], second[n+i] = b[2*i], b[2*i+1]
		}
		s.out[0], s.out[1] = first, second
	default:
		for ; len(b) >= 4; b = b[4:] {
			s.out[0] = append(s.out[0], b[0], b[1])
			s.out[1] = append(s.out[1], b[2], b[3])
		}
	}
}
