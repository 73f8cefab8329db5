package assist

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/language"

	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/media"
)

// languageChange is the language that a track speaks from a position on.
type languageChange struct {
	from   int64
	tag    string
	proven bool // a stream in it brought something
}

// maxLanguages bounds the changes that are remembered, the newest.
const maxLanguages = 16

// SetLanguage says which language (BCP 47) is spoken on a track from now on: a stream
// that runs makes way for one in that language. Audio before stays in the language
// before, also when it is sent later. What is no language, and what the transport
// cannot change, is a warning.
func (s *Session) SetLanguage(ref event.TrackRef, tag string) {
	tag, err := languageTag(tag)
	switch {
	case err != nil:
		s.warnTrack(&ref, event.Problem{Code: codeLanguage, Text: err.Error() + "; the track keeps its language"})
		return
	case s.conv.transport() == Bidi:
		s.warnTrack(&ref, event.Problem{Code: codeLanguage, Text: fmt.Sprintf("the language changed to %s, but transport %s takes it from the profile; use %s for calls that change it", tag, Bidi, Extended)})
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.added {
		if t := &s.added[i]; sameTrack(t.Ref, ref) {
			t.changes = addLanguage(t.changes, t.Audio.End(), tag)
		}
	}
	for _, t := range s.tracks {
		if sameTrack(t.ref, ref) {
			t.changes = addLanguage(t.changes, t.audio.End(), tag)
		}
	}
}

// sameTrack reports whether two references name the same track of a call; whoever
// speaks after a correction of roles has another.
func sameTrack(a, b event.TrackRef) bool {
	return a.Leg == b.Leg && a.Track == b.Track && a.Speaker == b.Speaker
}

// languageTag checks the form of a tag. Which languages there are is Google's business;
// auto is its word for any.
func languageTag(tag string) (string, error) {
	tag = strings.ReplaceAll(strings.TrimSpace(tag), "_", "-")
	if strings.EqualFold(tag, "auto") {
		return "auto", nil
	}
	_, err := language.Raw.Parse(tag)
	if _, unknown := errors.AsType[language.ValueError](err); err != nil && !unknown {
		return "", fmt.Errorf("language %.40q is no BCP 47 tag such as en-US", tag)
	}
	return tag, nil
}

func addLanguage(list []languageChange, from int64, tag string) []languageChange {
	if n := len(list); n > 0 && list[n-1].from == from {
		list = list[:n-1]
	}
	list = append(list, languageChange{from: from, tag: tag})
	return list[max(0, len(list)-maxLanguages):]
}

// languageOf returns the language of a chunk: the one at its end.
func (t *track) languageOf(c media.Chunk) string {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	for _, l := range slices.Backward(t.changes) {
		if l.from < c.End() {
			return l.tag
		}
	}
	return t.language
}

// proveLanguage notes that Agent Assist takes a language.
func (t *track) proveLanguage(tag string) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	for i := range t.changes {
		if t.changes[i].tag == tag {
			t.changes[i].proven = true
		}
	}
}

// dropLanguage gives a change up which may be why Agent Assist refuses the stream. It
// returns false when there is none, or the language has worked before.
func (t *track) dropLanguage() bool {
	t.s.mu.Lock()
	tag, n := t.spoken, len(t.changes)
	t.changes = slices.DeleteFunc(t.changes, func(l languageChange) bool { return l.tag == tag && !l.proven })
	dropped := len(t.changes) < n
	t.s.mu.Unlock()
	if dropped {
		t.s.warnTrack(t.trackRef(), event.Problem{Code: codeLanguage, Text: fmt.Sprintf("Agent Assist refuses the stream since the language changed to %s; the track goes on in the language before", tag)})
	}
	return dropped
}
