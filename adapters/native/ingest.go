package native

import (
	"fmt"
	"regexp"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ingestpb "github.com/patchbay/patchbay/adapters/native/proto/patchbay/ingest/v1"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

// ingest serves patchbay.ingest.v1.
type ingest struct {
	ingestpb.UnimplementedIngestServer
	server *server
}

// Stream serves one leg.
func (i *ingest) Stream(ss ingestpb.Ingest_StreamServer) error {
	return i.server.serve(ss, &ingestStream{tracks: map[string]*audio{}, asked: map[string]int64{}})
}

// ingestStream is the protocol of one stream. What only the reading goroutine uses is
// above, what the sending one uses below; tracks and asked are whole when closed is sent,
// since nothing is read by then.
type ingestStream struct {
	opening *ingestpb.Open
	tracks  map[string]*audio
	asked   map[string]int64 // samples by track, over all of its segments
	ids     []string
}

// idForm keeps ids printable, and short enough for the host.
var idForm = regexp.MustCompile(`^[!-~]{1,128}$`)

const maxTracks = 64

func (*ingestStream) message() any { return new(ingestpb.StreamRequest) }

// take implements protocol.
func (i *ingestStream) take(t *talk, m any, at time.Time) *goodbye {
	r := m.(*ingestpb.StreamRequest)
	if open := r.GetOpen(); open != nil || i.opening == nil {
		return i.open(t, open)
	}
	switch r := r.GetRequest().(type) {
	case *ingestpb.StreamRequest_Track:
		return i.join(t, r.Track)
	case *ingestpb.StreamRequest_Audio:
		return i.write(t, r.Audio, at)
	case *ingestpb.StreamRequest_Note:
		return i.note(t, r.Note, at)
	case *ingestpb.StreamRequest_Close:
		return t.half()
	}
	return nil // a heartbeat, perhaps
}

func (i *ingestStream) open(t *talk, m *ingestpb.Open) *goodbye {
	switch {
	case m == nil:
		return broken(countFirst, codes.InvalidArgument, "the first message must be open")
	case i.opening != nil:
		return broken(countMessage, codes.InvalidArgument, "open came a second time")
	case !idForm.MatchString(m.GetCall()):
		return broken(countFirst, codes.InvalidArgument, "open.call is not 1 to 128 printable characters")
	case m.GetLeg() != "" && !idForm.MatchString(m.GetLeg()):
		return broken(countFirst, codes.InvalidArgument, "open.leg is not 1 to 128 printable characters")
	}
	i.opening = m
	info := adapter.LegInfo{
		CallKey: "ingest:" + m.GetCall(), LegKey: m.GetLeg(), Conversation: m.GetConversation(),
		From: adapter.E164(m.GetFrom()), To: adapter.E164(m.GetTo()), Claims: m.GetAttributes(),
		Aliases: append([]string{m.GetCall()}, m.GetAliases()...), Results: adapter.ResultsEvents,
	}
	if info.LegKey == "" {
		info.LegKey = "main"
	}
	if info.Conversation == "" {
		info.Conversation = m.GetCall()
	}
	return t.open(info)
}

func (i *ingestStream) join(t *talk, m *ingestpb.Track) *goodbye {
	format := media.Format{Rate: int(m.GetSampleRateHertz())}
	switch m.GetEncoding() {
	case ingestpb.Encoding_ENCODING_MULAW:
		format.Encoding = media.MuLaw
	case ingestpb.Encoding_ENCODING_ALAW:
		format.Encoding = media.ALaw
	case ingestpb.Encoding_ENCODING_LINEAR16:
		format.Encoding = media.Linear16
	}
	if err := format.Validate(); err != nil {
		return broken(countMessage, codes.InvalidArgument, "track %.80q: %v", m.GetTrack(), err)
	}
	if !idForm.MatchString(m.GetTrack()) || len(m.GetSpeaker()) > 128 {
		return broken(countMessage, codes.InvalidArgument, "track.track is not 1 to 128 printable characters, or track.speaker is longer")
	}
	if i.tracks[m.GetTrack()] == nil {
		if len(i.ids) == maxTracks {
			return broken(countMessage, codes.InvalidArgument, "more than %d tracks on one stream", maxTracks)
		}
		i.ids = append(i.ids, m.GetTrack())
	}
	i.tracks[m.GetTrack()] = &audio{track: media.TrackID(m.GetTrack()), format: format}
	speaker := adapter.Speaker{ID: m.GetSpeaker(), Role: roles[m.GetRole()], Evidence: "track.role"}
	if speaker.Role == "" {
		speaker.Role, speaker.Evidence = adapter.RoleOther, "track.role is not set"
	}
	if speaker.ID == "" {
		speaker.ID = string(speaker.Role)
	}
	return t.heard(t.leg.Join(media.TrackID(m.GetTrack()), adapter.Track{Format: format, Speaker: speaker, Language: m.GetLanguage()}))
}

var roles = map[ingestpb.Role]adapter.Role{
	ingestpb.Role_ROLE_CUSTOMER: adapter.RoleEndUser,
	ingestpb.Role_ROLE_AGENT:    adapter.RoleHumanAgent,
	ingestpb.Role_ROLE_OTHER:    adapter.RoleOther,
}

func (i *ingestStream) write(t *talk, m *ingestpb.Audio, at time.Time) *goodbye {
	a := i.tracks[m.GetTrack()]
	if a == nil {
		return broken(countMessage, codes.InvalidArgument, "audio of track %.80q, which no track message described", m.GetTrack())
	}
	if m.Position != nil {
		if m.GetPosition() < a.pos {
			return broken(countMessage, codes.InvalidArgument, "audio.position %d of track %.80q lies before %d", m.GetPosition(), m.GetTrack(), a.pos)
		}
		a.pos, a.odd = m.GetPosition(), nil
	}
	i.asked[m.GetTrack()] += a.format.Samples(len(m.GetPayload()))
	return t.heard(a.write(t.leg, m.GetPayload(), at))
}

var noteKinds = map[ingestpb.Note_Kind]adapter.NoteKind{
	ingestpb.Note_KIND_DTMF:       adapter.NoteDTMF,
	ingestpb.Note_KIND_HOLD:       adapter.NoteHold,
	ingestpb.Note_KIND_RESUME:     adapter.NoteResume,
	ingestpb.Note_KIND_PAUSE:      adapter.NotePause,
	ingestpb.Note_KIND_LANGUAGE:   adapter.NoteLanguage,
	ingestpb.Note_KIND_ATTRIBUTES: adapter.NoteMetadata,
}

func (i *ingestStream) note(t *talk, m *ingestpb.Note, at time.Time) *goodbye {
	kind, ok := noteKinds[m.GetKind()]
	if !ok {
		return t.heard(t.leg.Note(adapter.Note{Kind: adapter.NoteWarning, At: at, Text: fmt.Sprintf("a note of kind %d is unknown", m.GetKind())}))
	}
	return t.heard(t.leg.Note(adapter.Note{Kind: kind, Track: media.TrackID(m.GetTrack()), At: at, Text: m.GetText(), Fields: m.GetAttributes()}))
}

func (*ingestStream) opened() any {
	return &ingestpb.StreamResponse{Response: &ingestpb.StreamResponse_Opened{Opened: &ingestpb.Opened{}}}
}

func (*ingestStream) order(c adapter.Control) any {
	kind := ingestpb.Order_KIND_RESUME
	if c.Kind == adapter.ControlPause {
		kind = ingestpb.Order_KIND_PAUSE
	}
	return &ingestpb.StreamResponse{Response: &ingestpb.StreamResponse_Order{Order: &ingestpb.Order{Kind: kind, Reason: c.Reason}}}
}

func (i *ingestStream) closed() any {
	c := &ingestpb.Closed{}
	for _, id := range i.ids {
		c.Received = append(c.Received, &ingestpb.Closed_Received{Track: id, Samples: i.asked[id]})
	}
	return &ingestpb.StreamResponse{Response: &ingestpb.StreamResponse_Closed{Closed: c}}
}

// result implements protocol.
func (i *ingestStream) result(r *adapter.Result) (any, error) {
	if !i.opening.GetResults() {
		return nil, nil
	}
	role := ingestpb.Role_ROLE_OTHER
	for known, as := range roles {
		if as == r.Speaker.Role {
			role = known
		}
	}
	out := &ingestpb.StreamResponse{}
	switch r.Kind {
	case adapter.ResultInterim, adapter.ResultFinal:
		out.Response = &ingestpb.StreamResponse_Transcript{Transcript: &ingestpb.Transcript{
			Track: string(r.Track), Leg: r.Leg, Role: role, Speaker: r.Speaker.ID, Utterance: r.Utterance, Text: r.Text,
			Final: r.Kind == adapter.ResultFinal, Start: stamp(r.Start), End: stamp(r.End), Offset: durationpb.New(r.Offset),
			Language: r.Language, Confidence: r.Confidence,
		}}
	case adapter.ResultSuggestion:
		out.Response = &ingestpb.StreamResponse_Suggestion{Suggestion: &ingestpb.Suggestion{
			Id: r.ID, Feature: r.Feature, Title: r.Title, Text: r.Text, Uri: r.URI, Confidence: r.Confidence, AnswerRecord: r.Name, Metadata: r.Metadata,
		}}
	case adapter.ResultMessage:
		out.Response = &ingestpb.StreamResponse_Message{Message: &ingestpb.StoredMessage{
			Name: r.Name, Track: string(r.Track), Leg: r.Leg, Role: role, Text: r.Text, Sent: stamp(r.Start), Language: r.Language,
		}}
	case adapter.ResultWarning, adapter.ResultFailure:
		out.Response = &ingestpb.StreamResponse_Problem{Problem: &ingestpb.Problem{Text: r.Text, Fatal: r.Kind == adapter.ResultFailure}}
	default:
		return nil, nil
	}
	return out, nil
}

func stamp(at time.Time) *timestamppb.Timestamp {
	if at.IsZero() {
		return nil
	}
	return timestamppb.New(at)
}
