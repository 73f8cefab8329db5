package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/patchbay/patchbay/adapters/internal/pace"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

// call is one simulated call leg.
type call struct {
	*engine
	number  int
	sid     string
	streams []*playing

	mu   sync.Mutex
	errs []error
}

// playing is a stream of a call with its audio.
type playing struct {
	verb   streamVerb
	sid    string
	opened chan struct{} // open has ended; then stream and player stay nil if it failed
	stream *Stream
	player *pace.Player

	stopped bool // finish was here
}

func newPlaying(v streamVerb) *playing {
	return &playing{verb: v, sid: SID("MZ"), opened: make(chan struct{})}
}

func (e *engine) newCall(number int, sid string) *call {
	return &call{engine: e, number: number, sid: sid}
}

func (c *call) report() adapter.SimCall {
	r := adapter.SimCall{Call: c.sid}
	for _, p := range c.streams {
		r.Call = cmp.Or(p.verb.parameters["call_key"], r.Call)
		r.Tracks = append(r.Tracks, tracksOf(p.verb.tracks, p.stream)...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := errors.Join(c.errs...); err != nil {
		r.Error = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return r
}

func (c *call) fail(err error) {
	c.mu.Lock()
	c.errs = append(c.errs, err)
	c.mu.Unlock()
	c.observe(c.sid, StepError, err.Error())
}

// run lives the call from its first TwiML to its end.
func (c *call) run(ctx context.Context) {
	var verbs []element
	if c.Stream != "" {
		verbs = c.ownTwiML()
	} else {
		var err error
		if verbs, err = c.fetch(ctx, c.Webhook, c.Fallback); err != nil {
			c.fail(err)
			c.observe(c.sid, StepEnd, "Twilio hangs up: an application error has occurred")
			return
		}
	}
	c.obey(ctx, verbs)
	c.hangUp(ctx)
	c.observe(c.sid, StepEnd, "")
}

// ownTwiML is what a customer's flow does with the README's snippet.
func (c *call) ownTwiML() []element {
	tracks, _ := parseTrack(c.Track) // complete has checked it
	v := streamVerb{url: c.Stream, tracks: tracks, parameters: map[string]string{}}
	maps.Copy(v.parameters, c.Parameters)
	if c.Secret != "" {
		v.parameters["patchbay_secret"] = c.Secret
	}
	c.streams = append(c.streams, newPlaying(v))
	dial := element{Text: c.To}
	dial.XMLName.Local = "Dial"
	return []element{dial}
}

// fetch asks a webhook for TwiML, and the fallback when that fails.
func (c *call) fetch(ctx context.Context, u, fallback string) ([]element, error) {
	form := c.form("ringing")
	verbs, err := c.ask(ctx, u, form)
	if err == nil {
		c.observe(c.sid, StepWebhook, u)
		return verbs, nil
	}
	err = fmt.Errorf("11200 HTTP retrieval failure: %w", err)
	c.observe(c.sid, StepError, err.Error())
	if fallback == "" {
		return nil, err
	}
	form.Set("ErrorCode", "11200")
	form.Set("ErrorUrl", u)
	if verbs, err = c.ask(ctx, fallback, form); err != nil {
		return nil, fmt.Errorf("11200 HTTP retrieval failure, fallback too: %w", err)
	}
	c.observe(c.sid, StepFallback, fallback)
	return verbs, nil
}

func (c *call) form(status string) url.Values {
	return url.Values{
		"AccountSid": {c.Account}, "CallSid": {c.sid}, "From": {c.From}, "To": {c.To}, "Caller": {c.From}, "Called": {c.To},
		"CallStatus": {status}, "Direction": {"inbound"}, "ApiVersion": {"2010-04-01"},
	}
}

func (c *call) ask(ctx context.Context, u string, form url.Values) ([]element, error) {
	body, err := c.post(ctx, u, form)
	if err != nil {
		return nil, err
	}
	return parseTwiML(body)
}

// post sends a signed form.
func (e *engine) post(ctx context.Context, u string, form url.Values) ([]byte, error) {
	target, host, err := redirect(u, e.connectFor(u))
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Host = host
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("User-Agent", "TwilioProxy/1.1")
	if e.AuthToken != "" {
		r.Header.Set("X-Twilio-Signature", Sign(e.AuthToken, u, form))
	}
	res, err := e.web.Do(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return nil, err
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return nil, fmt.Errorf("%s answered HTTP %s", u, res.Status)
	}
	return body, nil
}

// connectFor returns Connect for the URLs of patchbay, and nothing for others,
// such as the fallback's.
func (e *engine) connectFor(u string) string {
	ours, err := url.Parse(cmp.Or(e.Webhook, e.Stream))
	theirs, err2 := url.Parse(u)
	if err != nil || err2 != nil || ours.Host != "" && ours.Host != theirs.Host {
		return ""
	}
	return e.Connect
}

const maxRedirects = 10

// obey goes through the verbs. Streams run beside them; a verb that keeps the
// call alive (Dial, Enqueue, …) lasts as long as the streams' audio.
func (c *call) obey(ctx context.Context, verbs []element) {
	for _, p := range c.streams { // of ownTwiML
		c.open(ctx, p)
	}
	for redirects := 0; len(verbs) > 0 && ctx.Err() == nil; {
		v := verbs[0]
		verbs = verbs[1:]
		c.observe(c.sid, StepVerb, v.String())
		switch v.XMLName.Local {
		case "Start":
			c.startAll(ctx, v)
		case "Redirect":
			if redirects++; redirects > maxRedirects {
				c.fail(errors.New("12100 too many redirects"))
				return
			}
			next, err := c.fetch(ctx, strings.TrimSpace(v.Text), c.Fallback)
			if err != nil {
				c.fail(err)
				return
			}
			verbs = next
		case "Hangup", "Reject":
			return
		case "Dial", "Enqueue", "Connect":
			c.talk(ctx)
		case "Pause":
			wait(ctx, time.Duration(float64(time.Second)/c.Speed))
		}
	}
}

func (c *call) startAll(ctx context.Context, start element) {
	for _, child := range start.Children {
		if child.XMLName.Local != "Stream" {
			continue
		}
		verb, err := parseStream(child)
		if err != nil {
			c.fail(err)
			continue
		}
		p := newPlaying(verb)
		c.streams = append(c.streams, p)
		c.open(ctx, p)
	}
}

// open connects a stream and lets its audio run.
func (c *call) open(ctx context.Context, p *playing) {
	defer close(p.opened)
	token := c.AuthToken
	if c.Unsigned {
		token = ""
	}
	stream, err := OpenStream(ctx, StreamOptions{
		URL: p.verb.url, Connect: c.connectFor(p.verb.url), TLS: c.TLS,
		Account: c.Account, AuthToken: token, Signature: c.Signature,
		Call: c.sid, SID: p.sid, Tracks: p.verb.tracks, Parameters: p.verb.parameters,
	})
	if err != nil {
		c.fail(err)
		c.callBack(ctx, p, "stream-error", err.Error())
		return
	}
	c.observe(c.sid, StepStream, p.sid)
	c.callBack(ctx, p, "stream-started", "")
	p.stream = stream
	p.player = c.pacer.Add(c.play(p.verb.tracks, stream))
}

// play returns what sends block after block of a stream's tracks.
func (c *call) play(tracks []media.TrackID, stream *Stream) func(n int) bool {
	block := make([]byte, 0, blockSamples)
	limit := c.blocks()
	return func(n int) bool {
		if limit > 0 && n >= limit {
			return false
		}
		for _, id := range tracks {
			audio, more := c.Audio(block[:0], c.number, id, n)
			if !more {
				return false
			}
			send := stream.Send
			if c.DropChunk == int64(n)+1 && id == Inbound {
				send = stream.Lose
			}
			if send(id, audio) != nil { // the stream knows why
				return false
			}
		}
		return true
	}
}

// talk lasts until the audio of every stream has ended or ctx does.
func (c *call) talk(ctx context.Context) {
	for _, p := range c.streams {
		if p.player == nil {
			continue
		}
		select {
		case <-p.player.Done():
		case <-p.stream.Ended():
		case <-ctx.Done():
		}
	}
}

// hangUp ends the call and with it its streams.
func (c *call) hangUp(ctx context.Context) {
	for _, p := range c.streams {
		c.finish(context.WithoutCancel(ctx), p) // a cancelled simulator still says goodbye
	}
}

// finish ends a stream that may have ended already.
func (c *call) finish(ctx context.Context, p *playing) {
	<-p.opened
	if p.stream == nil || p.stopped {
		return
	}
	p.stopped = true
	p.player.Halt()
	select {
	case <-p.stream.Ended():
		err := cmp.Or(p.stream.Err(), error(&StreamError{31903, "the connection broke"}))
		c.fail(err)
		c.callBack(ctx, p, "stream-error", err.Error())
		return
	default:
	}
	if c.Abrupt {
		p.stream.Vanish()
		return
	}
	if err := p.stream.Stop(ctx, c.Account); err != nil {
		c.fail(err)
	}
	c.callBack(ctx, p, "stream-stopped", "")
}

// callBack tells the stream's status callback, if it has one.
func (c *call) callBack(ctx context.Context, p *playing, event, fault string) {
	if p.verb.status == "" {
		return
	}
	form := url.Values{
		"AccountSid": {c.Account}, "CallSid": {c.sid}, "StreamSid": {p.sid}, "StreamName": {p.sid},
		"StreamEvent": {event}, "Timestamp": {time.Now().UTC().Format(time.RFC3339)},
	}
	if fault != "" {
		form.Set("StreamError", fault)
	}
	if _, err := c.post(ctx, p.verb.status, form); err != nil {
		c.fail(fmt.Errorf("status callback %s: %w", event, err))
	}
}
