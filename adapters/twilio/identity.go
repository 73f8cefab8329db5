package twilio

import (
	"crypto/subtle"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/gorilla/websocket"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

// The <Parameter>s that the adapter itself understands. All others, and these
// too but for the two proofs, become the leg's claims.
const (
	paramSecret       = "patchbay_secret" // one of the account's stream secrets
	paramToken        = "patchbay_token"  // a one-time token of the webhook or of attach
	paramRoleInbound  = "role_inbound"    // customer, agent or other
	paramRoleOutbound = "role_outbound"
	paramCallKey      = "call_key"    // joins the streams of a conference into one call
	paramParticipant  = "participant" // who a conference leg's inbound track is
	paramConversation = "conversation"
	paramFrom         = "from"
	paramTo           = "to"
)

// Names that Twilio gives beside the parameters, as claims.
const (
	claimCall   = "callSid"
	claimStream = "streamSid"
)

const (
	trackInbound  media.TrackID = "inbound"
	trackOutbound media.TrackID = "outbound"

	maxParameters = 128 // Twilio's REST API takes 99; TwiML states no limit
)

var (
	callKeyForm      = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._:@-]{0,127}$`)
	conversationForm = regexp.MustCompile(`^[A-Za-z][0-9A-Za-z_-]{2,63}$`)
)

// proof is what the WebSocket upgrade proved: the accounts whose token made its
// signature.
type proof struct{ accounts []string }

// guest is an admitted stream on its way into Sink.Open.
type guest struct {
	stream   string // its SID
	info     adapter.LegInfo
	tracks   []media.TrackID
	speakers map[media.TrackID]adapter.Speaker
	token    string // to be released at the stream's end
	warnings []string
}

// admit decides whom a start message comes from and what it says. It fails with
// a *hangUp. A token is used up only when nothing else stands against the stream.
func (a *Adapter) admit(p proof, sid string, st *start) (guest, error) {
	params := make(map[string]string, len(st.Parameters))
	for _, name := range slices.Sorted(maps.Keys(st.Parameters))[:min(len(st.Parameters), maxParameters)] {
		params[name] = string(st.Parameters[name])
	}
	account, call := string(st.AccountSID), string(st.CallSID)
	switch {
	case !streamSID.MatchString(sid) || st.StreamSID != "" && string(st.StreamSID) != sid:
		return guest{}, refuse(countStart, "streamSid is malformed or contradicts itself")
	case !callSID.MatchString(call):
		return guest{}, refuse(countStart, "callSid is malformed")
	case !accountSID.MatchString(account):
		return guest{}, refuse(countStart, "accountSid is malformed")
	}
	if f := st.Format; f != nil && (f.Encoding != "audio/x-mulaw" || f.SampleRate.v != 8000 || f.Channels.v > 1) {
		return guest{}, refuse(countStart, "media format is not audio/x-mulaw, 8000 Hz, mono")
	}
	principal, tk, token, err := a.prove(p, account, call, sid, params)
	if err != nil {
		return guest{}, err
	}
	maps.Copy(params, tk.claims)
	delete(params, paramSecret)
	delete(params, paramToken)
	g := guest{stream: sid, token: token}
	if st.Format == nil {
		g.warn("start names no media format; mu-law at 8 kHz is assumed")
	}
	g.readTracks(st.Tracks)
	g.describe(params, principal, call, tk)
	g.speakers = a.speakers(&g, params, call)
	if _, taken := params[claimCall]; !taken {
		params[claimCall] = call
	}
	if _, taken := params[claimStream]; !taken {
		params[claimStream] = sid
	}
	g.info.Claims = params
	return g, nil
}

// prove finds out which account a stream belongs to: by the signature of its
// upgrade, and by the token or stream secret that start carries. Whatever is
// there must be right; what must be there is a matter of the settings.
func (a *Adapter) prove(p proof, account, call, stream string, params map[string]string) (adapter.Principal, ticket, string, error) {
	known := a.account(account)
	signed := slices.Contains(p.accounts, account)
	if len(p.accounts) > 0 && !signed {
		return adapter.Principal{}, ticket{}, "", refuse(countAccount, "start names another account than the one that signed the upgrade")
	}
	method := adapter.MethodNone
	if signed {
		method = adapter.MethodSignature
	}
	principal := func() adapter.Principal {
		if method == adapter.MethodNone {
			return adapter.Principal{Method: method}
		}
		return adapter.Principal{Account: account, Method: method}
	}
	if known == nil && !a.cfg.Insecure {
		return adapter.Principal{}, ticket{}, "", refuse(countAccount, "the account of start is not listed in accounts")
	}
	byToken := func() adapter.Method {
		if signed {
			return adapter.MethodSignature
		}
		return adapter.MethodToken
	}
	if token, ok := params[paramToken]; ok {
		tk, ok := a.tokens.use(token, account, call, stream)
		if !ok {
			return adapter.Principal{}, ticket{}, "", refuse(countSecret, "patchbay_token is unknown, expired, used or made for another call")
		}
		method = byToken()
		return principal(), tk, token, nil
	}
	secret, carried := params[paramSecret]
	switch {
	case known == nil: // insecure, and nothing to check against
	case carried && !known.hasSecret(secret):
		return adapter.Principal{}, ticket{}, "", refuse(countSecret, "patchbay_secret is none of the account's stream_secrets")
	case carried:
		method = byToken()
	case a.cfg.Insecure:
	case len(known.StreamSecrets) > 0:
		return adapter.Principal{}, ticket{}, "", refuse(countSecret, "the account has stream_secrets, but start carries no patchbay_secret")
	case !signed:
		return adapter.Principal{}, ticket{}, "", refuse(countUnsigned, "the upgrade was not signed, and start carries neither patchbay_secret nor patchbay_token, which upgrade_signature: if-present asks for")
	}
	return principal(), ticket{}, "", nil
}

// hasSecret compares with every secret, in constant time.
func (acc *Account) hasSecret(given string) bool {
	ok := 0
	for _, s := range acc.StreamSecrets {
		ok |= subtle.ConstantTimeCompare([]byte(s), []byte(given))
	}
	return ok == 1
}

func (g *guest) warn(format string, args ...any) {
	g.warnings = append(g.warnings, fmt.Sprintf(format, args...))
}

func (g *guest) readTracks(named []text) {
	for _, t := range named {
		id := media.TrackID(t)
		if (id == trackInbound || id == trackOutbound) && !slices.Contains(g.tracks, id) {
			g.tracks = append(g.tracks, id)
		}
	}
	if len(g.tracks) == 0 {
		g.tracks = []media.TrackID{trackInbound}
		g.warn("start names no track; inbound is assumed")
	}
	slices.Sort(g.tracks)
}

// describe fills the leg's introduction.
func (g *guest) describe(params map[string]string, principal adapter.Principal, call string, tk ticket) {
	info := adapter.LegInfo{CallKey: call, Principal: principal, From: tk.from, To: tk.to}
	if key, ok := params[paramCallKey]; ok && callKeyForm.MatchString(key) {
		info.CallKey = key
	} else if ok {
		g.warn("parameter call_key is not 1 to 128 letters, digits, . _ : @ -; the Call SID is used")
	}
	info.Conversation = info.CallKey
	if id, ok := params[paramConversation]; ok && conversationForm.MatchString(id) {
		info.Conversation = id
	} else if ok {
		g.warn("parameter conversation is not a letter and 2 to 63 letters, digits, _ -; the call's key is used")
	}
	if !conversationForm.MatchString(info.Conversation) {
		info.Conversation = call
	}
	names := make([]string, len(g.tracks))
	for i, t := range g.tracks {
		names[i] = string(t)
	}
	// A stream that is attached again to the same call leg, for the same tracks, takes over.
	info.LegKey = call + "/" + strings.Join(names, "+")
	if who := params[paramParticipant]; who != "" {
		info.LegKey += "/" + who
	}
	if info.From == "" {
		info.From = adapter.E164(params[paramFrom])
	}
	if info.To == "" {
		info.To = adapter.E164(params[paramTo])
	}
	delete(params, paramFrom) // the typed fields hide them in logs
	delete(params, paramTo)
	g.info = info
}

// roleWords are the values of role_inbound and role_outbound.
var roleWords = map[string]adapter.Role{
	"customer": adapter.RoleEndUser, "end_user": adapter.RoleEndUser,
	"agent": adapter.RoleHumanAgent, "human_agent": adapter.RoleHumanAgent,
	"other": adapter.RoleOther,
}

var (
	roleIDs  = map[adapter.Role]string{adapter.RoleEndUser: "customer", adapter.RoleHumanAgent: "agent", adapter.RoleOther: "other"}
	opposite = map[adapter.Role]adapter.Role{adapter.RoleEndUser: adapter.RoleHumanAgent, adapter.RoleHumanAgent: adapter.RoleEndUser, adapter.RoleOther: adapter.RoleOther}
)

// speakers says who is on which track. Inbound is what Twilio receives from the
// streamed call leg, outbound what that leg hears: neither word knows who called
// whom. In a conference, what a leg hears is a mix of all the others.
func (a *Adapter) speakers(g *guest, params map[string]string, call string) map[media.TrackID]adapter.Speaker {
	in := adapter.Speaker{Role: adapter.RoleEndUser, Evidence: "default: the inbound track is the customer", Assumed: true}
	if a.cfg.Inbound == InboundCustomer || a.cfg.Inbound == InboundAgent {
		in = adapter.Speaker{Role: roleWords[a.cfg.Inbound], Evidence: "setting inbound"}
	}
	g.role(params, paramRoleInbound, &in)
	out := adapter.Speaker{Role: opposite[in.Role], Evidence: "the other side of: " + in.Evidence, Assumed: in.Assumed}
	who := params[paramParticipant]
	conference := who != "" || params[paramCallKey] != ""
	if conference {
		out = adapter.Speaker{Role: adapter.RoleOther, Evidence: "default: a conference leg hears the mix of the others", Assumed: true}
	}
	g.role(params, paramRoleOutbound, &out)
	in.ID, out.ID = roleIDs[in.Role], roleIDs[out.Role]
	if conference {
		if who == "" {
			who = call // each participant has a call leg of its own
		}
		in.ID, out.ID = who, who+" hears"
	}
	return map[media.TrackID]adapter.Speaker{trackInbound: in, trackOutbound: out}
}

func (g *guest) role(params map[string]string, name string, s *adapter.Speaker) {
	word, ok := params[name]
	if !ok {
		return
	}
	if role, ok := roleWords[strings.ToLower(word)]; ok {
		*s = adapter.Speaker{Role: role, Evidence: "parameter " + name}
		return
	}
	g.warn("parameter %s is none of customer, agent, other; it is ignored", name)
}

// hangUp is why a stream ends from our side.
type hangUp struct {
	kind   string // for Env.Count and the log; empty when the host itself ended the leg
	code   int    // WebSocket close code
	text   string // the close frame's, for people who read Twilio's debugger
	detail string // the log line's
	reason adapter.EndReason
}

func (h *hangUp) Error() string { return h.detail }

// refuse turns a stream away before it is a leg. Twilio's debugger shows it as
// error 31921; the reason stays in our log, since strangers may be reading.
func refuse(kind, detail string) *hangUp {
	return &hangUp{kind: kind, code: websocket.ClosePolicyViolation, text: "refused", detail: detail}
}
