package twilio

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/twilio/twilio-go/client"
	api "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/patchbay/patchbay/core/adapter"
)

// Attach asks Twilio to stream a running call to us and returns the stream's
// SID. Claims named like parameters (role_inbound, call_key…) have their meaning.
func (a *Adapter) Attach(ctx context.Context, r adapter.AttachRequest) (string, error) {
	account, err := a.attachAccount(r.Account, r.Call)
	if err != nil {
		return "", attachError("twilio.Attach", r.Call, adapter.KindConfig, err)
	}
	if a.stopped.Load() {
		return "", attachError("twilio.Attach", r.Call, adapter.KindUnavailable, errors.New("the adapter has stopped, so Twilio would find nobody"))
	}
	return a.attach(ctx, account, r.Call, ticket{claims: r.Claims})
}

// Detach stops a stream that Attach started, or all of a call's when r.Stream is empty.
func (a *Adapter) Detach(ctx context.Context, r adapter.DetachRequest) error {
	const op = "twilio.Detach"
	account, err := a.attachAccount(r.Account, r.Call)
	if err != nil {
		return attachError(op, r.Call, adapter.KindConfig, err)
	}
	streams := []string{r.Stream}
	if r.Stream == "" {
		streams = a.attached.of(r.Call)
	}
	if len(streams) == 0 {
		return attachError(op, r.Call, adapter.KindConfig, errors.New("nothing is attached to this call; a stream that the call's own TwiML started ends with <Stop> or with the call"))
	}
	var failures []error
	for _, stream := range streams {
		if !streamSID.MatchString(stream) {
			return attachError(op, r.Call, adapter.KindConfig, fmt.Errorf("%q is no Stream SID (MZ and 32 hexadecimal digits)", stream))
		}
		rest := a.rest(ctx, a.account(account))
		params := (&api.UpdateStreamParams{}).SetPathAccountSid(account).SetStatus("stopped")
		_, err := rest.UpdateStream(r.Call, stream, params)
		if failed, ok := errors.AsType[*client.TwilioRestError](err); ok && failed.Status == http.StatusNotFound && r.Stream == "" {
			err = nil // it had ended by itself
		}
		if err != nil {
			failures = append(failures, restError(op, r.Call, err))
			continue
		}
		a.attached.forget(r.Call, stream)
	}
	return errors.Join(failures...)
}

// attach creates a stream on a call with a one-time token. The token alone goes
// to Twilio; what it stands for stays here.
func (a *Adapter) attach(ctx context.Context, account, call string, tk ticket) (string, error) {
	tk.account, tk.call = account, call
	token := a.tokens.issue(tk)
	params := (&api.CreateStreamParams{}).SetPathAccountSid(account).
		SetUrl(a.public.stream("")).SetTrack(a.cfg.Track).
		SetStatusCallback(a.public.webhook(pathStatus, "")).
		SetParameter1Name(paramToken).SetParameter1Value(token)
	stream, err := a.rest(ctx, a.account(account)).CreateStream(call, params)
	if err != nil {
		a.tokens.revoke(token)
		return "", restError("twilio.Attach", call, err)
	}
	if stream.Sid == nil || !streamSID.MatchString(*stream.Sid) {
		return "", attachError("twilio.Attach", call, adapter.KindVendor, errors.New("the answer of Twilio's API names no stream"))
	}
	a.attached.remember(call, *stream.Sid)
	return *stream.Sid, nil
}

func (a *Adapter) attachAccount(account, call string) (string, error) {
	if !callSID.MatchString(call) {
		return "", fmt.Errorf("%q is no Call SID (CA and 32 hexadecimal digits)", clip(call, 40))
	}
	if account == "" && len(a.cfg.Accounts) == 1 {
		account = a.cfg.Accounts[0].SID
	}
	if a.account(account) == nil {
		return "", fmt.Errorf("account %q is not listed in accounts", cmp.Or(clip(account, 40), "(none named)"))
	}
	return account, nil
}

func attachError(op, call string, kind adapter.Kind, err error) error {
	return &adapter.Error{Op: op, Call: call, Kind: kind, Err: err}
}

// maxAttached bounds the calls whose attached streams are remembered. Twilio has
// no list of them.
const maxAttached = 10_000

// attachments remembers the streams that were created on calls, for Detach.
type attachments struct {
	mu     sync.Mutex
	byCall map[string][]string
	order  []string // calls, oldest first
}

// claim marks a call as attached to, before the REST request; it reports false
// when it is so already.
func (m *attachments) claim(call string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.byCall[call]; ok {
		return false
	}
	m.add(call)
	return true
}

func (m *attachments) remember(call, stream string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.add(call)
	m.byCall[call] = append(m.byCall[call], stream)
}

func (m *attachments) add(call string) {
	if m.byCall == nil {
		m.byCall = map[string][]string{}
	}
	if _, ok := m.byCall[call]; ok {
		return
	}
	if len(m.order) >= maxAttached {
		delete(m.byCall, m.order[0])
		m.order = m.order[1:]
	}
	m.byCall[call] = nil
	m.order = append(m.order, call)
}

func (m *attachments) of(call string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.byCall[call])
}

// forget drops a stream, or the whole call when stream is empty or was its last.
func (m *attachments) forget(call, stream string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	streams, ok := m.byCall[call]
	if !ok {
		return
	}
	streams = slices.DeleteFunc(streams, func(s string) bool { return s == stream })
	if stream != "" && len(streams) > 0 {
		m.byCall[call] = streams
		return
	}
	delete(m.byCall, call)
	m.order = slices.DeleteFunc(m.order, func(c string) bool { return c == call })
}
