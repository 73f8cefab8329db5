package sim

import (
	"time"

	voicepb "github.com/patchbay/patchbay/adapters/five9/proto/five9/voicestream"
	"github.com/patchbay/patchbay/adapters/internal/simcmd"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

const blockTime = 20 * time.Millisecond

// Leg is whose audio a stream carries.
type Leg = voicepb.StreamingConfig_CallLeg

// The legs of a call.
const (
	Customer   = voicepb.StreamingConfig_CUSTOMER
	Agent      = voicepb.StreamingConfig_AGENT
	Supervisor = voicepb.StreamingConfig_SUPERVISOR
)

// trackOf is the name of a leg's track.
func trackOf(leg Leg) media.TrackID {
	switch leg {
	case Customer:
		return "customer"
	case Agent:
		return "agent"
	}
	return "supervisor"
}

// Audio is what calls say: block n of 20 ms of a leg of call number call, as samples
// appended to dst; false at its end.
type Audio func(dst []int16, call int, leg Leg, n int) ([]int16, bool)

// CodedStream is the number of the coded stream that a leg of a call carries.
func CodedStream(call int, leg Leg) uint16 {
	stream := call * 4
	switch leg {
	case Customer:
	case Agent:
		stream++
	default:
		stream += 2
	}
	return uint16(stream)
}

// Coded is audio at 8 kHz whose every block carries its number (package probe). It does
// not end.
func Coded() Audio {
	return func(dst []int16, call int, leg Leg, n int) ([]int16, bool) {
		var block [probe.BlockSamples]byte
		return media.AppendLinear(dst, media.MuLaw, probe.AppendBlock(block[:0], CodedStream(call, leg), uint32(n))), true
	}
}

// Tones is audio of tone words at a rate, again and again: the first list from the
// customer, the second from everybody else. Each list must hold words of probe.Words.
func Tones(rate int, customer, agent []string) Audio {
	return play(simcmd.Tones(rate, customer, agent))
}

// play cuts a sound into blocks.
func play(s *simcmd.Sound) Audio {
	size := s.Rate / int(time.Second/blockTime)
	return func(dst []int16, _ int, leg Leg, n int) ([]int16, bool) {
		return s.Append(dst, leg != Customer, n*size, size)
	}
}
