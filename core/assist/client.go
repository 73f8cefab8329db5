package assist

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/patchbay/patchbay/core/event"
)

// Client is a client of Agent Assist whose own streams, one after another, bring a track's
// audio. It gets Google's responses as if it were connected to Google, whatever becomes of
// our streams. Its methods wait for nothing.
type Client interface {
	// Participant is the full name of who speaks.
	Participant() string
	// Request is the first message of the client's stream which brought the audio from pos
	// on, a StreamingAnalyzeContentRequest; nil lets the conversation decide.
	Request(pos int64) []byte
	// Base returns where the client's stream begins that brought the audio before pos; false
	// when that stream has gone.
	Base(pos int64) (base int64, ok bool)
	// Respond hands over a response about the audio before pos, a
	// StreamingAnalyzeContentResponse with offsets of the client's stream.
	Respond(pos int64, response []byte)
	// Role is told which role the participant has.
	Role(role string)
	// Refused is told what the client's stream ends with: Agent Assist does not take it.
	Refused(err error)
}

// visit makes a client's conversation ready: it must be there.
func (s *Session) visit(ctx context.Context) error {
	var c *dialogflowpb.Conversation
	err := s.retry(ctx, stepForeign, func(ctx context.Context) (err error) {
		c, err = s.clients.conversations.GetConversation(ctx, &dialogflowpb.GetConversationRequest{Name: s.conv.Foreign}, once)
		return err
	})
	if err != nil {
		if codeOf(err) == codes.NotFound {
			err = &failure{event.Problem{Code: codeGone, Text: fmt.Sprintf("Agent Assist: the client's conversation %s does not exist in project %s, location %s", base(s.conv.Foreign), s.conv.Google.Project, s.conv.Google.location())}, unwrapFailure(err)}
		}
		return err
	}
	// The profile tells what to expect; without it a little less is known.
	profile, err := s.clients.profile(ctx, c.GetConversationProfile())
	if err != nil {
		s.log.Debug("assist: the profile of a client's conversation is not readable", "err", googleWords(err))
	}
	s.mu.Lock()
	s.name, s.model, s.features = c.GetName(), profile.GetSttConfig().GetModel(), profileFeatures(profile)
	s.mu.Unlock()
	if c.GetLifecycleState() == dialogflowpb.Conversation_COMPLETED {
		s.setOver(event.Problem{Code: codeCompleted, Text: "the conversation is completed"})
		return nil
	}
	s.pool.stats.Conversations.Add(1)
	s.publish(event.Event{Kind: event.ConversationReady, State: &event.State{Conversation: s.name, Text: "the client's own"}})
	return nil
}

// unwrapFailure returns Google's error within a step's failure.
func unwrapFailure(err error) error {
	if f, ok := err.(*failure); ok { //nolint:errorlint // retry returns it as it is
		return f.err
	}
	return err
}

// meet makes sure that a client's participant is there and may stream.
func (t *track) meet(ctx context.Context) error {
	var p *dialogflowpb.Participant
	err := t.s.retry(ctx, stepParticipant, func(ctx context.Context) error {
		l, done, err := t.s.clients.lane(ctx)
		if err != nil {
			return err
		}
		defer done()
		p, err = l.GetParticipant(ctx, &dialogflowpb.GetParticipantRequest{Name: t.client.Participant()}, once)
		return err
	})
	if err != nil {
		return err
	}
	for role, google := range googleRoles {
		if google == p.GetRole() {
			t.s.mu.Lock()
			t.ref.Role, t.participant.role = role, role
			t.s.mu.Unlock()
			t.client.Role(role)
			return nil
		}
	}
	text := fmt.Sprintf("participant %s is %v; only END_USER and HUMAN_AGENT stream", base(p.GetName()), p.GetRole())
	return &failure{event.Problem{Code: codeRoleNotAllowed, Text: text}, status.Error(codes.InvalidArgument, text)}
}

// refuseClients tells all clients what their streams end with, also those that come later.
func (s *Session) refuseClients(err error) {
	if err == nil || lasting(err) {
		return
	}
	s.mu.Lock()
	s.refusal = err
	var told []Client
	for _, t := range s.added {
		told = append(told, t.Client)
	}
	for _, t := range s.tracks {
		told = append(told, t.client)
	}
	s.mu.Unlock()
	for _, c := range told {
		if c != nil {
			c.Refused(err)
		}
	}
}

// refuseClient tells the client of a track what its stream ends with.
func (t *track) refuseClient(err error) {
	if t.client != nil && err != nil && !lasting(err) {
		t.client.Refused(err)
	}
}

// lasting reports whether an error is ours to mend: a client's stream goes on meanwhile.
func lasting(err error) bool {
	_, google := status.FromError(err)
	return !google || mendable(err) || breaks(err) || react(err) == wait
}

// clientRequest is the client's request for the audio from pos on.
func (t *track) clientRequest(pos int64) *dialogflowpb.StreamingAnalyzeContentRequest {
	if t.client == nil {
		return nil
	}
	b := t.client.Request(pos)
	if len(b) == 0 {
		return nil
	}
	r := new(dialogflowpb.StreamingAnalyzeContentRequest)
	if err := proto.Unmarshal(b, r); err != nil {
		t.log.Warn("assist: a client's request is not readable; the route's settings are taken", "err", err)
		return nil
	}
	return r
}

// transport is that of the open stream: a client's own form, or the conversation's.
func (t *track) transport() Transport {
	switch {
	case t.request == nil:
		return t.s.conv.transport()
	case t.request.GetEnableExtendedStreaming():
		return Extended
	default:
		return Streaming
	}
}

// clientRequest is the client's first message with what is ours to say.
func (c wireConfig) clientRequest() *dialogflowpb.StreamingAnalyzeContentRequest {
	r := proto.CloneOf(c.request)
	r.Participant = c.participant
	audio := r.GetAudioConfig()
	if audio == nil {
		audio = &dialogflowpb.InputAudioConfig{}
		r.Config = &dialogflowpb.StreamingAnalyzeContentRequest_AudioConfig{AudioConfig: audio}
	}
	audio.AudioEncoding, audio.SampleRateHertz = googleEncoding(c.format.Encoding), int32(c.format.Rate)
	return r
}

// respond hands a response to the client whose audio it is about, unless it says nothing
// new.
func (r *results) respond(st *stream, resp *dialogflowpb.StreamingAnalyzeContentResponse) {
	client, rec := r.t.client, resp.GetRecognitionResult()
	if client == nil {
		return
	}
	about := rec != nil || resp.GetMessage() != nil || len(resp.GetHumanAgentSuggestionResults())+len(resp.GetEndUserSuggestionResults()) > 0
	if about && !r.fresh {
		return
	}
	pos := max(r.end, st.startsAt()+1)
	first, ok := client.Base(pos)
	if !ok {
		r.t.s.pool.stats.Unheard.Add(1)
		return
	}
	if rec != nil {
		resp = proto.CloneOf(resp)
		st.rebase(resp.GetRecognitionResult(), r.end, first)
	}
	b, err := proto.Marshal(resp)
	if err != nil {
		r.contradiction("a response cannot be encoded again", "err", err)
		return
	}
	client.Respond(pos, b)
}

func (st *stream) startsAt() int64 {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.pos.start()
}

// rebase turns the offsets of a result into those of a stream that began at first. end is
// where the result's audio ends.
func (st *stream) rebase(rec *dialogflowpb.StreamingRecognitionResult, end, first int64) {
	st.mu.Lock()
	defer st.mu.Unlock()
	at := func(pos int64) *durationpb.Duration {
		return durationpb.New(st.pos.format.Duration(max(0, pos-first)))
	}
	move := func(d *durationpb.Duration) *durationpb.Duration {
		if d == nil {
			return nil
		}
		n := st.pos.format.SamplesIn(d.AsDuration() + time.Second/time.Duration(2*st.pos.format.Rate))
		return at(st.pos.tape(min(max(0, n), st.pos.sent)))
	}
	for _, w := range rec.GetSpeechWordInfo() {
		w.StartOffset, w.EndOffset = move(w.GetStartOffset()), move(w.GetEndOffset())
	}
	if rec.GetSpeechEndOffset() == nil {
		return
	}
	if rec.GetMessageType() == dialogflowpb.StreamingRecognitionResult_TRANSCRIPT {
		rec.SpeechEndOffset = at(end)
	} else {
		rec.SpeechEndOffset = move(rec.GetSpeechEndOffset())
	}
}

// end is where audio ends for which somebody waits: results are due, and no stream goes
// on beyond it.
type end struct {
	pos  int64
	done func() // may be nil
}

// resting says what a track waits for between two streams.
type resting uint8

const (
	working resting = iota
	forAudio
	forSpeech
)

// Cut says that a track's audio from pos on belongs to another stream of its client.
func (s *Session) Cut(ref event.TrackRef, pos int64) { s.addEnd(ref, end{pos: pos}) }

// Drain calls done, once, when every result for a track's audio before pos has been
// published: its stream is half-closed there. A track that the session does not know, or
// that gets no help, is done at once. done must not call the session.
func (s *Session) Drain(ref event.TrackRef, pos int64, done func()) { s.addEnd(ref, end{pos, done}) }

func (s *Session) addEnd(ref event.TrackRef, e end) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.added {
		if t := &s.added[i]; sameTrack(t.Ref, ref) {
			t.ends = append(t.ends, e)
			return
		}
	}
	for _, t := range slices.Backward(s.tracks) {
		if sameTrack(t.ref, ref) {
			t.ends = append(t.ends, e)
			t.reached(math.MaxInt64)
			return
		}
	}
	if e.done != nil {
		e.done()
	}
}

// cut reports whether a stream that began at from must end before pos.
func (t *track) cut(from, pos int64) bool {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	return slices.ContainsFunc(t.ends, func(e end) bool { return from < e.pos && e.pos <= pos })
}

// rest says that no stream is open and none will be before there is something to send;
// the function that it returns ends that.
func (t *track) rest() (over func()) {
	set := func(r resting) {
		t.s.mu.Lock()
		defer t.s.mu.Unlock()
		t.resting = r
		t.reached(math.MaxInt64)
	}
	if t.parked {
		set(forSpeech)
	} else {
		set(forAudio)
	}
	return func() { set(working) }
}

// between is called between two streams: what the last one settled has come to its end.
func (t *track) between() {
	pos := t.audio.Pos()
	if t.held != nil {
		pos = t.held.Pos
	}
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.resting = forAudio
	t.reached(pos)
	t.resting = working
}

// reached calls those whose end is reached, up to most. s.mu is held.
func (t *track) reached(most int64) {
	pos := min(most, t.audio.Pos())
	switch {
	case t.info.state == StateEnded, t.info.state == StateRefused:
		pos = t.audio.End()
	case t.resting == working:
		return
	case t.resting == forSpeech && t.audio.Quiet(t.s.pool.opts.SpeechLevel):
		pos = t.audio.End()
	}
	t.ends = slices.DeleteFunc(t.ends, func(e end) bool {
		if e.pos > pos {
			return false
		}
		if e.done != nil {
			e.done()
		}
		return true
	})
}

// finishAll calls everybody who waits: the track gets no help any more.
func (t *track) finishAll() {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	for _, e := range t.ends {
		if e.done != nil {
			e.done()
		}
	}
	t.ends = nil
}
