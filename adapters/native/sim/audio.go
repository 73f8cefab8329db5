package sim

import (
	"fmt"
	"os"
	"time"

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
	encode := func(words []string) []byte {
		return media.AppendEncoded(nil, media.MuLaw, probe.AppendTones(nil, media.Telephony.Rate, words...))
	}
	return play([2][]byte{encode(customer), encode(agent)}, true)
}

// WAV is the audio of a recording at 8 kHz: left the customer, right the agent. Mono
// leaves the agent silent.
func WAV(path string) (Audio, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	w, err := media.ReadWAV(f)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if w.Rate != media.Telephony.Rate || len(w.Channels) > 2 {
		return nil, fmt.Errorf("%s: %d channels at %d Hz; want 8000 Hz and two speakers: ffmpeg -i in.wav -ar 8000 -ac 2 out.wav", path, len(w.Channels), w.Rate)
	}
	both := [2][]byte{media.AppendEncoded(nil, media.MuLaw, w.Channels[0])}
	if len(w.Channels) == 2 {
		both[Agent] = media.AppendEncoded(nil, media.MuLaw, w.Channels[1])
	}
	return play(both, false), nil
}

// play cuts audio into messages; what is missing is silence.
func play(both [2][]byte, again bool) Audio {
	length := max(len(both[Customer]), len(both[Agent]))
	return func(dst []byte, _ int, who Speaker, n int) ([]byte, bool) {
		from := n * messageBytes
		if !again && from >= length {
			return dst, false
		}
		for i := from; i < from+messageBytes; i++ {
			switch audio := both[who]; {
			case again && len(audio) > 0:
				dst = append(dst, audio[i%len(audio)])
			case i < len(audio):
				dst = append(dst, audio[i])
			default:
				dst = append(dst, media.Telephony.Silence())
			}
		}
		return dst, true
	}
}
