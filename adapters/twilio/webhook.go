package twilio

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/patchbay/patchbay/core/adapter"
)

// maxBody bounds the body of a webhook or callback. Twilio's are below 4 KiB.
const maxBody = 64 << 10

// call is a verified request about a call.
type call struct {
	account string
	sid     string
	fields  url.Values        // Twilio's, which begin with a capital
	claims  map[string]string // the integrator's, from the URL's query
}

func (c call) from() adapter.E164 { return adapter.E164(c.fields.Get("From")) }
func (c call) to() adapter.E164   { return adapter.E164(c.fields.Get("To")) }

// verified lets only requests through that an account of ours signed.
func (s *server) verified(path string, answer func(http.ResponseWriter, call)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			s.badRequest(w, r, path, errors.New("the body is longer than 64 KiB or broke off"))
			return
		}
		said, covered, err := readParameters(r.Header.Get("Content-Type"), r.URL.RawQuery, body)
		if err != nil {
			s.badRequest(w, r, path, err)
			return
		}
		query := r.URL.Query()
		if r.Method == http.MethodGet {
			said = query
		}
		account := said.Get("AccountSid")
		if !s.checkSignature(w, r, path, covered, account) {
			return
		}
		c := call{account: account, sid: said.Get("CallSid"), fields: said, claims: ownClaims(query)}
		if !callSID.MatchString(c.sid) || !accountSID.MatchString(account) {
			s.badRequest(w, r, path, errors.New("CallSid or AccountSid is malformed"))
			return
		}
		answer(w, c)
	}
}

// checkSignature refuses a request unless the account that it names has signed it.
func (s *server) checkSignature(w http.ResponseWriter, r *http.Request, path string, covered url.Values, account string) bool {
	signatures := r.Header.Values(signatureHeader)
	kind, words := countUnsigned, "a request was refused: it carries no X-Twilio-Signature"
	switch {
	case len(signatures) > 0 && len(s.verify) > 0:
		accounts := s.verify.signed(s.public.webhook(path, r.URL.RawQuery), covered, signatures[0])
		if len(signatures) == 1 && slices.Contains(accounts, account) {
			return true
		}
		kind, words = countSignature, "a request was refused: its signature fits no account; compare public_url with the URL configured at Twilio, and auth_token with the account's primary token"
		if len(accounts) > 0 {
			kind, words = countAccount, "a request was refused: it names another account than the one that signed it"
		}
	case s.cfg.Insecure:
		return true
	}
	s.env.report.Warn(kind, words, "signed_url", s.public.http+path, "remote", r.RemoteAddr)
	http.Error(w, "forbidden", http.StatusForbidden)
	return false
}

func (s *server) badRequest(w http.ResponseWriter, r *http.Request, path string, err error) {
	s.env.report.Warn(countRequest, "a request was refused: it cannot be read", "path", path, "remote", r.RemoteAddr, "err", err)
	http.Error(w, err.Error(), http.StatusBadRequest)
}

// ownClaims returns what the integrator wrote into the URL's query, which the
// signature covers: ?role_inbound=agent. Twilio's own names begin with a capital.
func ownClaims(query url.Values) map[string]string {
	claims := map[string]string{}
	for name, values := range query {
		if name == "" || name == "bodySHA256" || name == paramSecret || name == paramToken || unicode.IsUpper(rune(name[0])) || len(claims) >= maxParameters {
			continue
		}
		claims[name] = strings.Join(values, ",")
	}
	return claims
}

// answerVoice answers the voice webhook of a number from the configuration
// alone. When no stream would find a place, the call goes on without one.
func (s *server) answerVoice(w http.ResponseWriter, c call) {
	if s.twiml == nil {
		s.env.report.Warn(countRequest, "the voice webhook was called, but the settings' voice block does not say how the call goes on", "call", c.sid)
		http.Error(w, "the voice webhook is not configured", http.StatusNotFound)
		return
	}
	token := ""
	if s.full() {
		s.env.report.Warn(countFull, "a call goes on unheard: limits.max_streams is reached or the adapter is stopping", "call", c.sid)
	} else {
		token = s.tokens.issue(ticket{account: c.account, call: c.sid, from: c.from(), to: c.to(), claims: c.claims})
	}
	doc, err := s.twiml.document(token)
	if err != nil {
		s.tokens.revoke(token)
		s.env.report.Warn(countRequest, "no TwiML could be written; Twilio will take the fallback URL", "call", c.sid, "err", err)
		http.Error(w, "no TwiML", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if _, err := io.WriteString(w, doc); err != nil {
		s.env.log.Debug("answering the voice webhook", "call", c.sid, "err", err)
	}
}
