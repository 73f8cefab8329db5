package five9

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
)

// keyHeaders are where an event may carry the API key: what Google's connector reads,
// and what others have seen.
var keyHeaders = []string{"X-Api-Key", "X-F9-Apikey"}

const maxEventBytes = 256 << 10

// routes are the webhooks.
func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	for i := range s.cfg.Subscriptions {
		sub := &s.cfg.Subscriptions[i]
		base := s.cfg.Path + "/" + sub.Name
		mux.HandleFunc("GET "+base, s.from(func(w http.ResponseWriter, r *http.Request) { s.validateSubscription(w, r, sub) }))
		mux.HandleFunc("POST "+base, s.from(s.proved(sub, s.takeEvent)))
		mux.HandleFunc("POST "+base+"/subscriptions/{id}", s.from(s.proved(sub, s.takeStreamEvent)))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.env.report.Warn(countPath, "nothing is served at this path; compare it with path and the names of subscriptions (a slash at the end counts)",
			"path", clip(r.URL.Path, 100), "remote", r.RemoteAddr)
		http.NotFound(w, r)
	})
	return mux
}

// from lets requests in from the listed networks only.
func (s *server) from(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if len(s.eventNets) > 0 && !within(s.eventNets, addrOf(r.RemoteAddr)) {
			s.env.report.Warn(countAddress, "a webhook is refused: it comes from outside of event_addresses", "remote", r.RemoteAddr)
			http.Error(w, "forbidden", http.StatusForbidden)
			return
		}
		next(w, r)
	}
}

// validateSubscription answers Five9's question whether we know the trust token, which
// comes before there is an API key.
func (s *server) validateSubscription(w http.ResponseWriter, r *http.Request, sub *Subscription) {
	if key := keyOf(r); key != "" && !oneOf(sub.APIKeys, key) {
		s.refuseKey(w, r, sub, "the API key is none of the subscription's api_keys")
		return
	}
	s.env.report.Count(countValidation)
	s.env.log.Info("a subscription is validated", "subscription", sub.Name, "remote", r.RemoteAddr)
	sum := sha256.Sum256([]byte(sub.TrustTokens[0]))
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `"`+hex.EncodeToString(sum[:])+`"`) // Five9 has gone, then
}

func keyOf(r *http.Request) string {
	for _, h := range keyHeaders {
		if key := r.Header.Get(h); key != "" {
			return key
		}
	}
	return ""
}

// proved lets events in that carry the subscription's API key, reads them, and
// answers 200 whatever they say, so that Five9 does not send them again.
func (s *server) proved(sub *Subscription, take func(sub *Subscription, body []byte) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch key := keyOf(r); {
		case key != "" && !oneOf(sub.APIKeys, key):
			s.refuseKey(w, r, sub, "the API key is none of the subscription's api_keys")
			return
		case key == "" && s.cfg.EventKey != KeyIfPresent && !s.cfg.Insecure:
			s.refuseKey(w, r, sub, "the event carries no API key, neither as x-api-key nor as X-F9-APIKEY; event_key: if-present would go by its address")
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEventBytes))
		if err == nil {
			err = take(sub, body)
		}
		if err != nil {
			s.env.report.Warn(countEvent, "an event cannot be used: "+err.Error(), "subscription", sub.Name, "remote", r.RemoteAddr)
		}
		w.WriteHeader(http.StatusOK)
	}
}

func (s *server) refuseKey(w http.ResponseWriter, r *http.Request, sub *Subscription, why string) {
	s.env.report.Warn(countKey, "a webhook is refused: "+why, "subscription", sub.Name, "remote", r.RemoteAddr)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnauthorized)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": "unauthorized"}) // the caller has gone, then
}

// takeEvent learns from a call event.
func (s *server) takeEvent(sub *Subscription, body []byte) error {
	call, variables, err := decodeEvent(body)
	if err != nil {
		return err
	}
	s.cfg.wanted(variables)
	s.env.report.Count(countEvents)
	n, news, legs, dropped, forgot := s.calls.learn(callKey{sub.Domain, call}, variables, time.Now())
	for range dropped {
		s.env.report.Count(countVariable)
	}
	for range forgot {
		s.env.report.Warn(countForgotten, "too many calls have events and no streams; the oldest is forgotten")
	}
	if news {
		s.tell(legs, n)
	}
	return nil
}

// takeStreamEvent logs what Five9 says of its end of a stream: the only place where it
// says that it could not reach us.
func (s *server) takeStreamEvent(sub *Subscription, body []byte) error {
	e, err := decodeStreamEvent(body)
	if err != nil {
		return err
	}
	call, leg := clip(string(e.Call), 60), clip(string(e.Leg), 20)
	switch e.Status {
	case "STREAMING":
		s.env.report.Count(countStarted)
	case "ENDED_NORMALLY":
		s.env.report.Count(countEnded)
	case "ERROR":
		s.env.report.Warn(countFailed, "Five9 could not stream a leg", "subscription", sub.Name, "call", call, "leg", leg, "failure", e.words())
		s.tell(s.calls.legs(callKey{sub.Domain, string(e.Call)}), adapter.Note{Kind: adapter.NoteWarning, At: time.Now(),
			Text: "Five9 could not stream a leg (" + leg + "): " + e.words()})
	default:
		return errors.New("its status is unknown")
	}
	return nil
}

// tell hands a note to the first leg that takes it.
func (s *server) tell(legs []adapter.Leg, n adapter.Note) {
	for _, leg := range legs {
		if leg.Note(n) == nil {
			return
		}
	}
}

func within(nets []netip.Prefix, a netip.Addr) bool {
	for _, n := range nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// addrOf returns the address of "host:port", the zero Addr if it is none.
func addrOf(hostPort string) netip.Addr {
	ap, err := netip.ParseAddrPort(hostPort)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}
