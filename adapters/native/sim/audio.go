package sim

import (
	"time"

	"github.com/patchbay/patchbay/adapters/internal/simcmd"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

// Speaker is who speaks on a stream.
type Speaker int

// The speakers of a call.
const (
	Customer Speaker = iota
	Agent
)

func (s Speaker) String() string { return [...]string{"customer", "agent"}[s] }

// A message holds messageBlocks blocks of 20 ms of mu-law.
const (
	messageTime   = 100 * time.Millisecond
	messageBlocks = 5
	messageBytes  = messageBlocks * probe.BlockSamples
)

// Audio is what calls say: message n of a speaker of call number call, as mu-law at 8 kHz
// appended to dst; false at its end.
type Audio func(dst []byte, call int, who Speaker, n int) ([]byte, bool)

// CodedStream is the number of the coded stream that a speaker of a call carries.
func CodedStream(call int, who Speaker) uint16 { return uint16(call*2 + int(who)) }

// Coded is audio whose every block carries its number (package probe). It does not end.
func Coded() Audio {
	return func(dst []byte, call int, who Speaker, n int) ([]byte, bool) {
		for i := range messageBlocks {
			dst = probe.AppendBlock(dst, CodedStream(call, who), uint32(n*messageBlocks+i))
		}
		return dst, true
	}
}

// Tones is audio of tone words, again and again: the first list from the customer, the
// second from the agent. Each list must hold words of probe.Words.
func Tones(customer, agent []string) Audio {
	return play(simcmd.Tones(media.Telephony.Rate, customer, agent))
}

// play cuts a sound at 8 kHz into messages.
func play(s *simcmd.Sound) Audio {
	return func(dst []byte, _ int, who Speaker, n int) ([]byte, bool) {
		var message [messageBytes]int16
		samples, more := s.Append(message[:0], who == Agent, n*messageBytes, messageBytes)
		return media.AppendEncoded(dst, media.MuLaw, samples), more
	}
}
