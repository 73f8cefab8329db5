package sim

import (
	"fmt"
	"os"
	"time"

	voicepb "github.com/patchbay/patchbay/adapters/five9/proto/five9/voicestream"
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
	return loop(rate, probe.AppendTones(nil, rate, customer...), probe.AppendTones(nil, rate, agent...), true)
}

// WAV is the audio of a recording: its left channel the customer's, its right the
// agent's. Mono leaves the agent silent. It returns the recording's rate.
func WAV(path string) (Audio, int, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	w, err := media.ReadWAV(f)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", path, err)
	}
	if len(w.Channels) > 2 {
		return nil, 0, fmt.Errorf("%s: %d channels; want the customer's and the agent's", path, len(w.Channels))
	}
	agent := make([]int16, len(w.Channels[0]))
	if len(w.Channels) == 2 {
		agent = w.Channels[1]
	}
	return loop(w.Rate, w.Channels[0], agent, false), w.Rate, nil
}

// loop cuts audio into blocks; the last one is filled with silence.
func loop(rate int, customer, others []int16, again bool) Audio {
	size := rate / int(time.Second/blockTime)
	return func(dst []int16, _ int, leg Leg, n int) ([]int16, bool) {
		audio := others
		if leg == Customer {
			audio = customer
		}
		from := n * size
		if !again && from >= len(audio) {
			return dst, false
		}
		for i := from; i < from+size; i++ {
			switch {
			case again:
				dst = append(dst, audio[i%len(audio)])
			case i < len(audio):
				dst = append(dst, audio[i])
			default:
				dst = append(dst, 0)
			}
		}
		return dst, true
	}
}
