// Package wire turns the values of the contract into messages of the plugin
// protocol and back, and holds what both ends of the seam must agree on:
// handshake, limits, transport settings, the table of error codes.
package wire

import (
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
	plugv1 "github.com/patchbay/patchbay/core/plug/proto/patchbay/plug/v1"
)

// Nanos returns t for the wire: nanoseconds since 1970, 0 for the zero time.
func Nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// Time is the inverse of Nanos.
func Time(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos)
}

// FromLegInfo returns the message that opens a leg.
func FromLegInfo(leg uint64, i adapter.LegInfo) *plugv1.Open {
	return &plugv1.Open{
		Leg:          leg,
		CallKey:      i.CallKey,
		LegKey:       i.LegKey,
		Principal:    &plugv1.Principal{Account: i.Principal.Account, Method: string(i.Principal.Method)},
		Conversation: i.Conversation,
		Named:        i.Named,
		From:         string(i.From),
		To:           string(i.To),
		Claims:       i.Claims,
		Aliases:      i.Aliases,
		Client:       fromClient(i.Client),
		Results:      string(i.Results),
	}
}

// ToLegInfo is the inverse of FromLegInfo.
func ToLegInfo(m *plugv1.Open) adapter.LegInfo {
	return adapter.LegInfo{
		CallKey: m.GetCallKey(),
		LegKey:  m.GetLegKey(),
		Principal: adapter.Principal{
			Account: m.GetPrincipal().GetAccount(),
			Method:  adapter.Method(m.GetPrincipal().GetMethod()),
		},
		Conversation: m.GetConversation(),
		Named:        m.GetNamed(),
		From:         adapter.E164(m.GetFrom()),
		To:           adapter.E164(m.GetTo()),
		Claims:       m.GetClaims(),
		Aliases:      m.GetAliases(),
		Client:       adapter.Client{Method: m.GetClient().GetMethod(), Conversation: m.GetClient().GetConversation()},
		Results:      adapter.ResultForm(m.GetResults()),
	}
}

// FromTrack returns the message that begins a segment.
func FromTrack(leg, track uint64, id media.TrackID, t adapter.Track) *plugv1.Join {
	return &plugv1.Join{
		Leg:     leg,
		Track:   track,
		TrackId: string(id),
		Format:  &plugv1.Format{Encoding: plugv1.Encoding(t.Format.Encoding), Rate: int32(t.Format.Rate)},
		Speaker: &plugv1.Speaker{
			Id:       t.Speaker.ID,
			Role:     string(t.Speaker.Role),
			Evidence: t.Speaker.Evidence,
			Assumed:  t.Speaker.Assumed,
			Mixed:    t.Speaker.Mixed,
		},
		Arrived:        Nanos(t.Arrived),
		MediaTime:      int64(t.MediaTime),
		MediaTimeKnown: t.MediaTimeKnown,
		Language:       t.Language,
		Participant:    t.Participant,
		Request:        t.Request,
	}
}

// ToTrack is the inverse of FromTrack. An encoding that this host does not know
// becomes media.EncodingUnknown, which no Format.Validate accepts.
func ToTrack(m *plugv1.Join) (media.TrackID, adapter.Track) {
	encoding := media.EncodingUnknown
	if e := m.GetFormat().GetEncoding(); e >= 0 && e <= plugv1.Encoding(media.Linear16) {
		encoding = media.Encoding(e)
	}
	s := m.GetSpeaker()
	return media.TrackID(m.GetTrackId()), adapter.Track{
		Format: media.Format{Encoding: encoding, Rate: int(m.GetFormat().GetRate())},
		Speaker: adapter.Speaker{
			ID:       s.GetId(),
			Role:     adapter.Role(s.GetRole()),
			Evidence: s.GetEvidence(),
			Assumed:  s.GetAssumed(),
			Mixed:    s.GetMixed(),
		},
		Arrived:        Time(m.GetArrived()),
		MediaTime:      time.Duration(m.GetMediaTime()),
		MediaTimeKnown: m.GetMediaTimeKnown(),
		Language:       m.GetLanguage(),
		Participant:    m.GetParticipant(),
		Request:        m.GetRequest(),
	}
}

// FromNote returns the message for a note.
func FromNote(leg uint64, n adapter.Note) *plugv1.Note {
	return &plugv1.Note{
		Leg:     leg,
		Kind:    string(n.Kind),
		TrackId: string(n.Track),
		At:      Nanos(n.At),
		Text:    n.Text,
		Samples: n.Samples,
		Fields:  n.Fields,
		Aliases: n.Aliases,
	}
}

// ToNote is the inverse of FromNote.
func ToNote(m *plugv1.Note) adapter.Note {
	return adapter.Note{
		Kind:    adapter.NoteKind(m.GetKind()),
		Track:   media.TrackID(m.GetTrackId()),
		At:      Time(m.GetAt()),
		Text:    m.GetText(),
		Samples: m.GetSamples(),
		Fields:  m.GetFields(),
		Aliases: m.GetAliases(),
	}
}

// FromEnd returns the message that ends a leg.
func FromEnd(leg uint64, r adapter.EndReason) *plugv1.Close {
	return &plugv1.Close{Leg: leg, Kind: string(r.Kind), Text: r.Text}
}

// ToEnd is the inverse of FromEnd.
func ToEnd(m *plugv1.Close) adapter.EndReason {
	return adapter.EndReason{Kind: adapter.EndKind(m.GetKind()), Text: m.GetText()}
}

// FromControl returns the message for an order of the host.
func FromControl(leg uint64, c adapter.Control) *plugv1.Control {
	return &plugv1.Control{Leg: leg, Kind: string(c.Kind), Reason: c.Reason, Reconnect: c.Reconnect,
		Result: fromResult(c.Result), Error: FromStatusError(c.Error)}
}

// ToControl is the inverse of FromControl.
func ToControl(m *plugv1.Control) adapter.Control {
	return adapter.Control{Kind: adapter.ControlKind(m.GetKind()), Reason: m.GetReason(), Reconnect: m.GetReconnect(),
		Result: toResult(m.GetResult()), Error: ToStatusError(m.GetError())}
}

// FromAttach returns the message for an attach request.
func FromAttach(r adapter.AttachRequest) *plugv1.AttachRequest {
	return &plugv1.AttachRequest{Account: r.Account, Call: r.Call, Claims: r.Claims}
}

// ToAttach is the inverse of FromAttach.
func ToAttach(m *plugv1.AttachRequest) adapter.AttachRequest {
	return adapter.AttachRequest{Account: m.GetAccount(), Call: m.GetCall(), Claims: m.GetClaims()}
}

// FromDetach returns the message for a detach request.
func FromDetach(r adapter.DetachRequest) *plugv1.DetachRequest {
	return &plugv1.DetachRequest{Account: r.Account, Call: r.Call, Stream: r.Stream}
}

// ToDetach is the inverse of FromDetach.
func ToDetach(m *plugv1.DetachRequest) adapter.DetachRequest {
	return adapter.DetachRequest{Account: m.GetAccount(), Call: m.GetCall(), Stream: m.GetStream()}
}

// FromListeners returns the messages for listeners.
func FromListeners(ls []adapter.Listener) []*plugv1.Listener {
	var out []*plugv1.Listener
	for _, l := range ls {
		out = append(out, &plugv1.Listener{Name: l.Name, Network: l.Network, AnyOf: l.AnyOf})
	}
	return out
}

// ToListeners is the inverse of FromListeners.
func ToListeners(ms []*plugv1.Listener) []adapter.Listener {
	var out []adapter.Listener
	for _, m := range ms {
		out = append(out, adapter.Listener{Name: m.GetName(), Network: m.GetNetwork(), AnyOf: m.GetAnyOf()})
	}
	return out
}
