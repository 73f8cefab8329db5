package assist

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/event"
	"github.com/patchbay/patchbay/core/media"
)

// TestLongCall is a call of 12 minutes and two speakers on fake time: over four
// rotations and more, each block is heard exactly once, by the right participant.
func TestLongCall(t *testing.T) {
	inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
		s, wait := r.run(t.Context(), r.conversation())
		customer := newVoice(t, "inbound", "end_user", 1, media.Telephony)
		agent := newVoice(t, "outbound", "human_agent", 2, media.Telephony)
		call(t, s, func(v *voice) { v.speak(t, 12*time.Minute) }, customer, agent)
		if err := wait(); err != nil {
			t.Fatalf("Run() = %v", err)
		}
		r.heardOnce("call-1", customer, agent)
		for _, v := range []*voice{customer, agent} {
			causes := r.causes(v.track)
			if len(causes) < 5 || slices.ContainsFunc(causes[:len(causes)-1], func(c string) bool { return c != "planned" }) || causes[len(causes)-1] != "end" {
				t.Errorf("%s: streams ended %v; want at least four planned rotations and the end", v.track, causes)
			}
			if l := v.tape.Ledger(); l.Replayed != 0 || l.Unrecognised != 0 {
				t.Errorf("%s: ledger %+v; want nothing replayed and all speech recognised", v.track, l)
			}
		}
		for _, e := range r.events(event.StreamEnded) { // at the first final after the soft mark; one comes every 5 s
			if age := media.Telephony.Duration(e.Stream.ToPos - e.Stream.FromPos); e.Stream.Cause == "planned" && (age < 150*time.Second || age > 156*time.Second) {
				t.Errorf("stream %d was rotated at %v; want the first final after 150 s", e.Stream.Number, age)
			}
		}
		account, _ := r.em.Account().Conversation("call-1")
		if !account.Completed || len(account.Participants) != 2 {
			t.Errorf("account: completed %v, %d participants; want completed, 2", account.Completed, len(account.Participants))
		}
		r.order(t)
	})
}

// order checks the shape of the log: set-up first, completion last, a final for
// each utterance in order, messages and suggestions during the call.
func (r *rig) order(t *testing.T) {
	t.Helper()
	all := r.events()
	if all[0].Kind != event.ConversationReady || all[len(all)-1].Kind != event.ConversationDone {
		t.Errorf("the log goes from %s to %s; want conversation.ready to conversation.completed", all[0].Kind, all[len(all)-1].Kind)
	}
	ends := map[string]time.Time{}
	for _, e := range r.events(event.TranscriptFinal) {
		tr := e.Transcript
		if tr.Start.After(tr.End) || tr.Start.Before(ends[e.Track.Track]) {
			t.Errorf("final %s lies at %v to %v, the one before ended at %v", tr.Utterance, tr.Start, tr.End, ends[e.Track.Track])
		}
		if late := e.Time.Sub(tr.End); late > 20*time.Second {
			t.Errorf("final %s came %v after its audio", tr.Utterance, late)
		}
		if e.Track.Participant == "" || !strings.HasPrefix(tr.Text, "blocks") {
			t.Errorf("final %+v of %+v; want text and a participant", tr, e.Track)
		}
		ends[e.Track.Track] = tr.End
	}
	finals, messages := len(r.events(event.TranscriptFinal)), len(r.events(event.MessageStored))
	if finals == 0 || finals != messages {
		t.Errorf("%d finals and %d messages; want as many", finals, messages)
	}
}
