package assist

import (
	"cmp"
	"slices"
	"strings"

	"github.com/patchbay/patchbay/core/event"
)

// Info is a session as it stands, for people.
type Info struct {
	Conversation string         `json:"conversation,omitempty" doc:"Full resource name, once it exists."`
	Profile      string         `json:"profile" doc:"Full resource name."`
	Transport    Transport      `json:"transport"`
	Participants []Participant  `json:"participants"`
	Tracks       []TrackInfo    `json:"tracks"`
	Problem      *event.Problem `json:"problem,omitempty" doc:"Why the conversation could not be set up."`
}

// Participant is a speaker at Google's.
type Participant struct {
	Speaker string `json:"speaker"`
	Role    string `json:"role"`
	Name    string `json:"name,omitempty" doc:"Full resource name, once it exists."`
}

// TrackInfo is a track as it stands.
type TrackInfo struct {
	Track   event.TrackRef `json:"track"`
	State   TrackState     `json:"state"`
	Streams int            `json:"streams" doc:"How many were opened."`
	Error   string         `json:"error,omitempty" doc:"The last error, of a stream or for good."`
}

// TrackState is what a track is doing.
type TrackState string

// The states of a track.
const (
	StateWaiting   TrackState = "waiting"   // for audio, for the conversation, or between two streams
	StateStreaming TrackState = "streaming" // a stream is open
	StateParked    TrackState = "parked"    // nobody speaks: the next stream opens with the next word
	StateRetrying  TrackState = "retrying"  // a stream broke; the next follows after a pause
	StateRefused   TrackState = "refused"   // an operator must act; the audio waits, and it is tried again each minute
	StateEnded     TrackState = "ended"
)

// trackInfo is what a track tells of itself, under the session's lock.
type trackInfo struct {
	state   TrackState
	streams int
	err     string
	refused bool // and this was published
}

// Info returns the session as it stands.
func (s *Session) Info() Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	info := Info{Conversation: s.name, Profile: s.conv.profileName(), Transport: s.conv.transport(), Problem: s.problem,
		Participants: []Participant{}, Tracks: []TrackInfo{}}
	for who, p := range s.participants {
		info.Participants = append(info.Participants, Participant{Speaker: who.ID, Role: p.role, Name: p.name})
	}
	slices.SortFunc(info.Participants, func(a, b Participant) int {
		return cmp.Or(strings.Compare(a.Speaker, b.Speaker), strings.Compare(a.Role, b.Role))
	})
	for _, t := range s.tracks {
		info.Tracks = append(info.Tracks, TrackInfo{Track: t.ref, State: t.info.state, Streams: t.info.streams, Error: t.info.err})
	}
	return info
}

func (t *track) setState(state TrackState) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.info.state = state
}

func (t *track) setError(text string) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.info.err = text
}
