package sim

import (
	"errors"
	"fmt"
	"time"

	"github.com/patchbay/patchbay/adapters/internal/simcmd"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

const blockTime = 20 * time.Millisecond

// Speaker is whose voice a stream carries.
type Speaker int

// The speakers. Both are heard where a system records one mixed stream.
const (
	Customer Speaker = iota
	Agent
	Both
)

func (s Speaker) String() string { return [...]string{"customer", "agent", "both"}[s] }

// Audio is what calls say.
type Audio struct {
	open  func(rate, call int, who Speaker) (voice, error)
	coded bool
}

// voice appends block n of 20 ms; false at the end.
type voice func(dst []int16, n int) ([]int16, bool)

// CodedStream is the number of the coded stream that a speaker of a call carries.
func CodedStream(call int, who Speaker) uint16 { return uint16(call*4 + int(who)) }

// ErrCodec means that the audio cannot be sent with the codec that was agreed.
var ErrCodec = errors.New("sim: the audio does not go with the codec")

// Coded is audio whose every block carries its number (package probe). It does not end,
// and goes with G.711 alone.
func Coded() Audio {
	return Audio{coded: true, open: func(rate, call int, who Speaker) (voice, error) {
		if rate != probe.BlockRate {
			return nil, fmt.Errorf("%w: coded blocks have %d Hz, the codec %d", ErrCodec, probe.BlockRate, rate)
		}
		stream := CodedStream(call, who)
		return func(dst []int16, n int) ([]int16, bool) {
			var block [probe.BlockSamples]byte
			return media.AppendLinear(dst, media.MuLaw, probe.AppendBlock(block[:0], stream, uint32(n))), true
		}, nil
	}}
}

// Tones is audio of tone words, again and again: the first list from the customer, the
// second from the agent. Each list must hold words of probe.Words.
func Tones(customer, agent []string) Audio {
	return play(simcmd.Tones(8000, customer, agent), simcmd.Tones(16000, customer, agent))
}

// play is audio of a sound, in the rates that it is given.
func play(rates ...*simcmd.Sound) Audio {
	return Audio{open: func(rate, _ int, who Speaker) (voice, error) {
		for _, s := range rates {
			if s.Rate == rate {
				return cut(s, who), nil
			}
		}
		return nil, fmt.Errorf("%w: the recording has %d Hz, the codec %d", ErrCodec, rates[0].Rate, rate)
	}}
}

// cut cuts a sound into blocks.
func cut(s *simcmd.Sound, who Speaker) voice {
	size := s.Rate / int(time.Second/blockTime)
	if who != Both {
		return func(dst []int16, n int) ([]int16, bool) { return s.Append(dst, who == Agent, n*size, size) }
	}
	var customer, agent []int16
	return func(dst []int16, n int) ([]int16, bool) {
		var more bool
		customer, more = s.Append(customer[:0], false, n*size, size)
		if agent, _ = s.Append(agent[:0], true, n*size, size); !more {
			return dst, false
		}
		for i := range customer {
			dst = append(dst, customer[i]/2+agent[i]/2)
		}
		return dst, true
	}
}
