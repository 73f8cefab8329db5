package simcmd

import (
	"cmp"
	"fmt"
	"os"
	"strings"

	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

// Sound is what the two sides of every call say.
type Sound struct {
	Rate            int // samples a second
	Customer, Agent []int16
	Again           bool // from the start, for ever
}

// Tones is a sound of tone words, again and again. Each list must hold words of
// probe.Words.
func Tones(rate int, customer, agent []string) *Sound {
	return &Sound{Rate: rate, Customer: probe.AppendTones(nil, rate, customer...), Agent: probe.AppendTones(nil, rate, agent...), Again: true}
}

// ReadWAV is the sound of a recording: left the customer, right the agent. Mono leaves
// the agent silent.
func ReadWAV(path string) (*Sound, error) {
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
	if len(w.Channels) > 2 {
		return nil, fmt.Errorf("%s: %d channels; want the customer's and the agent's", path, len(w.Channels))
	}
	s := &Sound{Rate: w.Rate, Customer: w.Channels[0]}
	if len(w.Channels) == 2 {
		s.Agent = w.Channels[1]
	}
	return s, nil
}

// At fails for a sound of another rate than the vendor's.
func (s *Sound) At(rate int) (*Sound, error) {
	if s != nil && s.Rate != rate {
		return nil, fmt.Errorf("the recording has %d Hz; want %d: ffmpeg -i in.wav -ar %d -ac 2 out.wav", s.Rate, rate, rate)
	}
	return s, nil
}

// Append appends samples [from, from+n) of a side; what is missing is silence. It
// returns false where both sides are over.
func (s *Sound) Append(dst []int16, agent bool, from, n int) ([]int16, bool) {
	audio := s.Customer
	if agent {
		audio = s.Agent
	}
	if !s.Again && from >= max(len(s.Customer), len(s.Agent)) {
		return dst, false
	}
	for i := from; i < from+n; i++ {
		switch {
		case s.Again && len(audio) > 0:
			dst = append(dst, audio[i%len(audio)])
		case i < len(audio):
			dst = append(dst, audio[i])
		default:
			dst = append(dst, 0)
		}
	}
	return dst, true
}

func parseTones(s string, rate int) (*Sound, error) {
	customer, agent, _ := strings.Cut(s, "/")
	lists := [2][]string{}
	known := map[string]bool{}
	for _, w := range probe.Words() {
		known[w] = true
	}
	for i, list := range []string{customer, cmp.Or(agent, customer)} {
		for w := range strings.SplitSeq(list, ",") {
			if !known[w] {
				return nil, fmt.Errorf("--tones: %q is none of %s", w, strings.Join(probe.Words(), " "))
			}
			lists[i] = append(lists[i], w)
		}
	}
	return Tones(rate, lists[0], lists[1]), nil
}
