package sim

import (
	"time"

	"github.com/patchbay/patchbay/adapters/internal/simcmd"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

const (
	blockSamples  = 160 // 20 ms at 8 kHz
	blockDuration = 20 * time.Millisecond
)

// The channels of a session.
const (
	External media.TrackID = "external" // the customer
	Internal media.TrackID = "internal" // the agent
)

// Audio is what calls say: block n of 20 ms of mu-law for a track of call number
// call, appended to dst; false at its end.
type Audio func(dst []byte, call int, id media.TrackID, n int) ([]byte, bool)

// CodedStream is the number of the coded stream that a track of a call carries.
func CodedStream(call int, id media.TrackID) uint16 {
	if id == Internal {
		return uint16(call*2 + 1)
	}
	return uint16(call * 2)
}

// Coded is audio whose every block carries its number (package probe). It does
// not end.
func Coded() Audio {
	return func(dst []byte, call int, id media.TrackID, n int) ([]byte, bool) {
		return probe.AppendBlock(dst, CodedStream(call, id), uint32(n)), true
	}
}

// Tones is audio of tone words, again and again: the first list from the
// customer, the second from the agent. Each list must hold words of probe.Words.
func Tones(customer, agent []string) Audio {
	return play(simcmd.Tones(media.Telephony.Rate, customer, agent))
}

// play cuts a sound at 8 kHz into blocks: the customer's side external, the agent's internal.
func play(s *simcmd.Sound) Audio {
	return func(dst []byte, _ int, id media.TrackID, n int) ([]byte, bool) {
		var block [blockSamples]int16
		samples, more := s.Append(block[:0], id == Internal, n*blockSamples, blockSamples)
		return media.AppendEncoded(dst, media.MuLaw, samples), more
	}
}
