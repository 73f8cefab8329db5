package oem

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/patchbay/patchbay/adapters/oem/ciscobib"
	"github.com/patchbay/patchbay/adapters/oem/linking"
	"github.com/patchbay/patchbay/adapters/oem/receiver"
	"github.com/patchbay/patchbay/adapters/oem/roles"
	"github.com/patchbay/patchbay/adapters/oem/sdp"
	"github.com/patchbay/patchbay/adapters/oem/signal"
	"github.com/patchbay/patchbay/adapters/oem/siprec"
	"github.com/patchbay/patchbay/core/adapter"
)

// openTimeout bounds Sink.Open, which decides from local knowledge.
const openTimeout = 5 * time.Second

// session is one recording dialog: what it agreed, what its metadata says, and the leg
// that its audio goes to. Its signal.Session methods are called one after another.
type session struct {
	server *server
	trunk  *trunk
	dialog *signal.Dialog
	id     uint64 // of our o= line

	mu        sync.Mutex  // guards what follows
	peer      signal.Peer // with the address of the newest request
	agreed    *sdp.Agreement
	offered   *sdp.Agreement // an offer of ours whose answer the ACK brings
	lines     map[int]*line  // by m= line
	view      siprec.View
	headers   signal.Headers // of the INVITE, those of later ones before it
	from      string         // raw, of the newest request
	fork      *ciscobib.Fork // CUCM
	link      linking.Link
	before    int // audio lines of the call's dialogs that came before
	leg       adapter.Leg
	paused    bool      // the host asked the peer for silence
	signalled time.Time // newest request

	reason   atomic.Pointer[adapter.EndReason] // why we end the call; the first one holds
	controls sync.WaitGroup                    // those who listen to the legs
}

// Invite decides on a new recording call.
func (s *server) Invite(ctx context.Context, d *signal.Dialog, r *signal.Request) (signal.Session, signal.Answer) {
	c := &session{
		server: s, trunk: s.trunkOf(r.Peer), dialog: d, peer: r.Peer, id: rand.Uint64() >> 2,
		lines: map[int]*line{}, headers: r.Headers, from: r.From, signalled: time.Now(),
	}
	body := siprec.Split(r.ContentType, r.Body)
	if body.SDP == nil && body.Metadata == nil && len(r.Body) > 0 {
		s.report.Count(countBody)
		return nil, notAcceptable()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	warnings := c.learn(body, r)
	agreed, answer := c.negotiate(body.SDP)
	if agreed == nil {
		return nil, answer
	}
	if c.trunk.Mixed == MixedRefuse && c.mixed(agreed) {
		c.closeLines()
		s.report.Count(countMixed)
		return nil, signal.Answer{Status: 488, Reason: "One stream carries all voices; send separate streams"}
	}
	c.link = c.linked(r)
	c.before = s.linesOf(c.link.CallKey, principal(r.Peer).Account)
	if refused, ok := c.open(ctx, append(warnings, c.link.Warnings...)); !ok {
		c.closeLines()
		return nil, refused
	}
	if err := c.apply(agreed, body.SDP == nil); err != nil {
		c.fail(err)
	}
	if name := adapter.ConversationOf(c.leg); name != "" {
		answer.Headers = append(answer.Headers, [2]string{headerConversation, name})
	}
	s.add(c, len(c.lines))
	return c, answer
}

// notAcceptable is the answer to a body that nobody understands.
func notAcceptable() signal.Answer {
	return signal.Answer{Status: 415, Headers: [][2]string{{"Accept", "multipart/mixed, application/sdp, application/rs-metadata, application/rs-metadata+xml"}}}
}

// learn takes what a request says beside its SDP. c.mu is held.
func (c *session) learn(b siprec.Body, r *signal.Request) (warnings []string) {
	if b.Odd != nil {
		warnings = append(warnings, b.Odd.Error())
	}
	if b.Metadata != nil {
		d, err := siprec.ParseMetadata(b.Metadata)
		if err != nil {
			c.server.report.Count(countMetadata)
			warnings = append(warnings, err.Error())
		}
		c.view.Apply(d)
	}
	if f, ok := ciscobib.ParseFrom(r.From); ok {
		c.fork, c.from = &f, r.From
	}
	if r.Headers.Has(ciscobib.HeaderParticipant) {
		c.headers = r.Headers
	}
	return warnings
}

// negotiate answers an offer, or makes one where the peer wants ours. It returns what is
// agreed, or nil and the refusal; the call is as before then. c.mu is held.
func (c *session) negotiate(offer []byte) (*sdp.Agreement, signal.Answer) {
	own, err := c.server.addressFor(c.peer.Addr)
	if err != nil {
		c.server.report.Warn(countAddress, "our own address for the trunk is not known; set address", "trunk", c.trunk.Name, "err", err)
		return nil, signal.Answer{Status: 500, RetryAfter: time.Minute}
	}
	choices := c.trunk.choices(c.peer, own, c.id, c.server.cfg.Limits.MaxStreams)
	choices.Inactive = c.paused
	var fresh []*line
	choices.Port = func(index int) (int, error) {
		l := &line{call: c, index: index}
		var err error
		if l.stream, err = c.server.receiver.Open(l); err != nil {
			return 0, err
		}
		fresh = append(fresh, l)
		return l.stream.Port(), nil
	}
	var agreed *sdp.Agreement
	if offer == nil {
		agreed, err = sdp.Offer(c.agreed, choices)
	} else {
		var d sdp.Description
		if d, err = sdp.Parse(offer); err == nil {
			agreed, err = sdp.Answer(d, c.agreed, choices)
		}
	}
	if err != nil {
		for _, l := range fresh {
			l.stream.Close()
		}
		return nil, c.refuse(err)
	}
	for _, l := range fresh {
		c.lines[l.index] = l
	}
	if offer == nil {
		c.offered = agreed
	}
	return agreed, signal.Answer{Body: agreed.Body}
}

// headerConversation tells an operator, in a trace of the SIP messages, which conversation
// the call goes to.
const headerConversation = "X-Patchbay-Conversation"

// refuse says why there is no agreement.
func (c *session) refuse(err error) signal.Answer {
	switch code := sdp.Code(err); {
	case errors.Is(err, receiver.ErrNoPorts):
		c.server.report.Warn(countPorts, "every port of media.ports is in use; widen the range", "trunk", c.trunk.Name)
		return signal.Answer{Status: 503, Reason: "No port is free", RetryAfter: signal.DefaultRetryAfter}
	case code >= 500:
		c.server.report.Warn(countFailed, "a call could not be answered", "trunk", c.trunk.Name, "err", err)
		return signal.Answer{Status: code, RetryAfter: signal.DefaultRetryAfter}
	default:
		c.server.report.Warn(countOffer, "an offer was refused", "trunk", c.trunk.Name, "code", code, "err", err)
		return signal.Answer{Status: code, Headers: [][2]string{{"Warning", `399 patchbay "` + err.Error() + `"`}}}
	}
}

// linked says which call and conversation the dialog belongs to. c.mu is held.
func (c *session) linked(r *signal.Request) linking.Link {
	return c.trunk.linker.Link(linking.Request{
		Trusted: c.peer.Trusted, URI: r.URI, From: r.From, To: r.To, CallID: r.CallID,
		Headers: c.headers, View: &c.view, Fork: c.fork,
	})
}

// open opens the leg. c.mu is held.
func (c *session) open(ctx context.Context, warnings []string) (refusal signal.Answer, ok bool) {
	info := c.info()
	openCtx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	leg, err := c.server.sink.Open(openCtx, info)
	if err != nil {
		return c.declined(err), false
	}
	c.leg = leg
	c.controls.Go(func() { c.obey(leg) })
	c.server.log.Info("recording call opened", "call", info.CallKey, "leg", info.LegKey, "trunk", c.trunk.Name, "method", info.Principal.Method,
		"transport", c.peer.Transport, "linked_by", string(c.link.How), "to", info.To)
	for _, w := range warnings {
		c.note(adapter.Note{Kind: adapter.NoteWarning, Text: w})
	}
	return signal.Answer{}, true
}

// info introduces the leg. c.mu is held.
func (c *session) info() adapter.LegInfo {
	info := adapter.LegInfo{
		CallKey: c.link.CallKey, LegKey: "dialog/" + c.dialog.CallID(), Principal: principal(c.peer),
		Conversation: c.link.Conversation, Named: c.link.Named,
		From: adapter.E164(c.link.Caller), To: adapter.E164(cmp.Or(c.link.Dialled, c.link.Called)),
		Aliases: c.link.Aliases, Claims: maps.Clone(c.link.Claims),
	}
	if c.fork != nil && c.fork.Key() != "" {
		info.LegKey = "fork/" + string(c.trackID(sdp.Stream{}))
	}
	info.Claims["trunk"] = c.trunk.Name
	info.Claims["linked_by"] = c.link.Evidence
	return info
}

// declined turns the host's refusal into SIP.
func (c *session) declined(err error) signal.Answer {
	c.server.report.Count(countHost)
	refusal, ok := errors.AsType[*adapter.Refusal](err)
	if !ok {
		c.server.report.Warn(countWrite, "the host did not decide on a call", "trunk", c.trunk.Name, "err", err)
		return signal.Answer{Status: 500, RetryAfter: signal.DefaultRetryAfter}
	}
	switch refusal.Reason {
	case adapter.RefusedNoRoute:
		return signal.Answer{Status: 404, Reason: "No route wants this call"}
	case adapter.RefusedNotYours:
		return signal.Answer{Status: 403, Reason: "The conversation is not the trunk's"}
	case adapter.RefusedInvalid:
		return signal.Answer{Status: 400, Reason: "The call cannot be told from others"}
	case adapter.RefusedFull:
		return signal.Answer{Status: 486, Reason: "Full", RetryAfter: signal.DefaultRetryAfter}
	}
	return signal.Answer{Status: 503, RetryAfter: signal.DefaultRetryAfter}
}

// note tells the host something. c.mu is held.
func (c *session) note(n adapter.Note) {
	if n.At.IsZero() {
		n.At = time.Now()
	}
	if err := c.leg.Note(n); err != nil && !errors.Is(err, adapter.ErrClosed) {
		c.server.report.Warn(countWrite, "the host did not take a note", "call", c.link.CallKey, "err", err)
	}
}

// voices says who speaks on each line. c.mu is held.
func (c *session) voices(agreed *sdp.Agreement) map[int]roles.Voice {
	in := roles.Input{View: &c.view, Headers: c.headers, Fork: c.fork, Rules: c.trunk.Roles, Before: c.before}
	for _, st := range agreed.Streams {
		if st.Kind == "audio" {
			in.Lines = append(in.Lines, roles.Line{Index: st.Index, Label: st.Label, Ended: !st.Accepted})
		}
	}
	in.Parties = ciscobib.Participants(c.headers.Values(ciscobib.HeaderParticipant), len(agreed.Streams))
	out := map[int]roles.Voice{}
	for _, v := range roles.Assign(in) {
		out[v.Index] = v
	}
	return out
}

func (c *session) mixed(agreed *sdp.Agreement) bool {
	for _, v := range c.voices(agreed) {
		if v.Mixed {
			return true
		}
	}
	return false
}
