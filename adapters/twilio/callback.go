package twilio

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/patchbay/patchbay/core/adapter"
)

// answerStatus takes the status callback of a <Stream>. It is the only place
// where a handshake that failed on its way to us becomes visible.
func (s *server) answerStatus(w http.ResponseWriter, c call) {
	stream := clip(c.fields.Get("StreamSid"), 40)
	switch c.fields.Get("StreamEvent") {
	case "stream-started":
		s.env.report.Count(countStreamStarted)
	case "stream-stopped":
		s.env.report.Count(countStreamStopped)
		s.attached.forget(c.sid, stream)
	case "stream-error":
		s.env.report.Warn(countStreamError, "Twilio reports a stream's error", "call", c.sid, "stream", stream,
			"err", clip(oneLine(c.fields.Get("StreamError")), 300))
		s.attached.forget(c.sid, stream)
	default:
		s.env.report.Count(countUnknown)
	}
	w.WriteHeader(http.StatusNoContent)
}

// oneLine keeps Twilio's words from breaking a log line.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

const (
	callbackAttachTries   = 3                // a call may be answered before its streams can be created
	callbackAttachTimeout = 20 * time.Second // for all tries
)

// answerCallStatus takes the status callback of a call and attaches to it when
// it is answered. The URL's query becomes the leg's claims.
func (s *server) answerCallStatus(w http.ResponseWriter, c call) {
	switch c.fields.Get("CallStatus") {
	case "in-progress":
		s.attachAnswered(c)
	case "completed", "busy", "failed", "no-answer", "canceled":
		s.attached.forget(c.sid, "")
	}
	w.WriteHeader(http.StatusNoContent)
}

// attachAnswered attaches in the background, since Twilio waits for its answer.
// Twilio may repeat a callback; a call that is attached stays as it is.
func (s *server) attachAnswered(c call) {
	if !s.attached.claim(c.sid) {
		return
	}
	started := s.background(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, callbackAttachTimeout)
		defer cancel()
		_, err := backoff.Retry(ctx, func() (string, error) {
			stream, err := s.attach(ctx, c.account, c.sid, ticket{from: c.from(), to: c.to(), claims: c.claims})
			if err != nil && adapter.KindOf(err) != adapter.KindUnavailable {
				err = backoff.Permanent(err)
			}
			return stream, err
		}, backoff.WithMaxTries(callbackAttachTries))
		if err != nil {
			s.attached.forget(c.sid, "")
			if permanent, ok := errors.AsType[*backoff.PermanentError](err); ok {
				err = permanent.Err
			}
			s.env.report.Warn(countAttachFailed, "an answered call could not be attached to", "call", c.sid, "err", err)
			return
		}
		s.env.report.Count(countAttach)
	})
	if !started {
		s.attached.forget(c.sid, "")
		s.env.report.Warn(countFull, "an answered call is not attached to: too many are being attached, or the adapter is stopping", "call", c.sid)
	}
}
