package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/api"
	"github.com/patchbay/patchbay/core/api/sse"
	"github.com/patchbay/patchbay/core/event"
)

// The limits of the client. A stream on which not even a comment comes is dead.
const (
	apiTimeout    = 45 * time.Second // longer than the API gives a vendor
	streamIdle    = 3 * api.DefaultHeartbeat
	maxAnswer     = 64 << 20
	firstPause    = 500 * time.Millisecond // before a lost stream is opened again
	longestPause  = 5 * time.Second
	problemsMedia = "application/problem+json"
)

// apiClient speaks to a patchbay's API.
type apiClient struct {
	base  string // without a slash at its end
	token adapter.Secret
	http  *http.Client
	pause time.Duration // firstPause
}

// newAPIClient returns a client for the API at address.
func newAPIClient(address string, token adapter.Secret) (*apiClient, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.User != nil {
		return nil, usageError{fmt.Errorf("--api %s: is not the address of an API; write it like http://127.0.0.1:8080", printable(address))}
	}
	return &apiClient{
		base: strings.TrimRight(address, "/"), token: token, pause: firstPause,
		http: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}, nil
}

// close gives the client's connections back.
func (c *apiClient) close() { c.http.CloseIdleConnections() }

// refusedError is an answer that is no success.
type refusedError struct {
	status int
	text   string
}

func (e *refusedError) Error() string { return e.text }

// get reads the answer to a GET.
func (c *apiClient) get(ctx context.Context, path string) (json.RawMessage, error) {
	return c.call(ctx, http.MethodGet, path, nil)
}

// post sends body as JSON and reads the answer, which may be empty.
func (c *apiClient) post(ctx context.Context, path string, body any) (json.RawMessage, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return c.call(ctx, http.MethodPost, path, data)
}

func (c *apiClient) call(ctx context.Context, method, path string, body []byte) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	resp, err := c.send(ctx, method, path, body, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("the answer of %s broke off: %w", c.base, err)
	}
	if resp.StatusCode == http.StatusNoContent {
		return nil, nil
	}
	if !json.Valid(answer) {
		return nil, c.stranger(resp)
	}
	return answer, nil
}

// send returns the answer when it is a success; its body is the caller's to close.
func (c *apiClient) send(ctx context.Context, method, path string, body []byte, header http.Header) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+string(c.token))
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	return nil, c.refused(resp)
}

func (c *apiClient) unreachable(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no patchbay at %s; start it with patchbay run, or name another with --api", c.base)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("no answer from %s within %v", c.base, apiTimeout)
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // the URL is said already
	}
	return fmt.Errorf("cannot reach %s: %w", c.base, err)
}

// refused turns an answer that is no success into one line.
func (c *apiClient) refused(resp *http.Response) error {
	var p struct {
		Detail string `json:"detail"`
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&p)
	switch {
	case media != problemsMedia || err != nil || p.Detail == "":
		return c.stranger(resp)
	case resp.StatusCode == http.StatusUnauthorized && c.token == "":
		p.Detail = fmt.Sprintf("the API at %s wants a token; set PATCHBAY_TOKEN, or name it with --token env:NAME or --token file:PATH", c.base)
	case resp.StatusCode == http.StatusUnauthorized:
		p.Detail = fmt.Sprintf("the API at %s does not take this token; name the one of its api.token with --token env:NAME or --token file:PATH", c.base)
	}
	return &refusedError{resp.StatusCode, printable(p.Detail)}
}

func (c *apiClient) stranger(resp *http.Response) error {
	return &refusedError{resp.StatusCode, fmt.Sprintf("what answers at %s is not patchbay's API (%s); name the right address with --api", c.base, printable(resp.Status))}
}

// watch hands every event of a call to show, in order and once, until the call is
// over or ctx ends. When the stream is lost on the way, lost hears why, and watch
// goes on where it was.
func (c *apiClient) watch(ctx context.Context, call string, show func(sse.Message) error, lost func(error)) error {
	after, pause := uint64(0), c.pause
	for {
		before := after
		over, err := c.follow(ctx, call, &after, show)
		switch {
		case over:
			return nil
		case ctx.Err() != nil:
			return nil // the user has seen enough
		case after == 0 || !worthAnotherTry(err):
			return err
		}
		if after > before {
			pause = c.pause
		}
		lost(err)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		pause = min(2*pause, longestPause)
	}
}

// errStreamLost is the end of a stream that did not say that the call is over.
var errStreamLost = errors.New("the stream ended before the call")

// showError is what stopped the one who watches, not the stream.
type showError struct{ error }

func worthAnotherTry(err error) bool {
	if refused, ok := errors.AsType[*refusedError](err); ok {
		return refused.status >= 500
	}
	_, own := errors.AsType[showError](err)
	return !own
}

// follow reads one event stream to its end and moves after along. over reports that
// the call has ended.
func (c *apiClient) follow(ctx context.Context, call string, after *uint64, show func(sse.Message) error) (over bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	idle := time.AfterFunc(streamIdle, cancel)
	defer idle.Stop()
	header := http.Header{"Accept": {"text/event-stream"}}
	if *after > 0 {
		header.Set("Last-Event-ID", strconv.FormatUint(*after, 10))
	}
	resp, err := c.send(ctx, http.MethodGet, callPath(call)+"/events", nil, header)
	if err != nil {
		return false, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusNoContent { // it ended while we were away
		return true, nil
	}
	if media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); media != "text/event-stream" {
		return false, c.stranger(resp)
	}
	events := sse.NewReader(&watchedReader{resp.Body, func() { idle.Reset(streamIdle) }})
	for {
		m, err := events.Next()
		switch {
		case errors.Is(err, io.EOF):
			return false, errStreamLost
		case err != nil:
			return false, err
		case m.Event == api.EndEvent:
			return true, nil
		}
		seq, err := strconv.ParseUint(m.ID, 10, 64)
		if err != nil {
			return false, c.stranger(resp)
		}
		if err := show(m); err != nil {
			return false, showError{err}
		}
		*after = seq
	}
}

// watchedReader calls touch whenever something comes.
type watchedReader struct {
	io.Reader
	touch func()
}

func (r *watchedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n > 0 {
		r.touch()
	}
	return n, err
}

// callPath is where a call lies, by any of its names.
func callPath(name string) string { return "/v1/calls/" + url.PathEscape(name) }

// decodeEvent reads the data of a message of the stream.
func decodeEvent(m sse.Message) (event.Event, error) {
	var e event.Event
	if err := json.Unmarshal(m.Data, &e); err != nil {
		return e, fmt.Errorf("event %s cannot be read (%w); this program is %s, is the host newer?", m.ID, err, version)
	}
	return e, nil
}
