package sim

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
)

// API is the resource Streams of Twilio's REST API together with calls that are
// in progress: a stream that is created on one of them connects and speaks. It
// is an http.Handler for the whole API's host.
type API struct {
	engine *engine
	mux    *http.ServeMux
	ctx    context.Context // ends with Close
	stop   context.CancelFunc

	mu     sync.Mutex
	calls  map[string]*call
	number int
}

// NewAPI returns an API for one account. Options say what its streams are like;
// those of webhook and stream have no meaning. Close must be called.
func NewAPI(o Options) *API {
	o.fill()
	ctx, stop := context.WithCancel(context.Background()) // ended by Close
	a := &API{engine: newEngine(o), mux: http.NewServeMux(), ctx: ctx, stop: stop, calls: map[string]*call{}}
	const base = "POST /2010-04-01/Accounts/{account}/Calls/{call}/"
	a.mux.HandleFunc(base+"Streams.json", a.create)
	a.mux.HandleFunc(base+"Streams/{stream}", a.update) // "<sid>.json"
	return a
}

// Close hangs up all calls and waits for their streams.
func (a *API) Close() {
	a.mu.Lock()
	var calls []string
	for sid := range a.calls {
		calls = append(calls, sid)
	}
	a.mu.Unlock()
	for _, sid := range calls {
		a.Hangup(sid)
	}
	a.stop()
	a.engine.close()
}

// Answer puts a call in progress and returns its SID.
func (a *API) Answer() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.engine.newCall(a.engine.First+a.number, SID("CA"))
	a.number++
	a.calls[c.sid] = c
	return c.sid
}

// CallBack sends the call's status to a callback, signed.
func (a *API) CallBack(ctx context.Context, url, sid, status string) error {
	c := a.engine.newCall(0, sid)
	_, err := a.engine.post(ctx, url, c.form(status))
	return err
}

// Hangup ends a call with its streams and returns what it sent.
func (a *API) Hangup(sid string) adapter.SimCall {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.calls[sid]
	if c == nil {
		return adapter.SimCall{Call: sid, Error: "no such call in progress"}
	}
	delete(a.calls, sid)
	c.hangUp(a.ctx)
	return c.report()
}

func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	ok := subtle.ConstantTimeCompare([]byte(user+":"+password), []byte(a.engine.Account+":"+a.engine.AuthToken)) == 1
	if !ok {
		restFailure(w, http.StatusUnauthorized, 20003, "Authenticate")
		return
	}
	a.mux.ServeHTTP(w, r)
}

func restFailure(w http.ResponseWriter, status, code int, message string) {
	answerJSON(w, status, map[string]any{"code": code, "message": message, "status": status, "more_info": fmt.Sprintf("https://www.twilio.com/docs/errors/%d", code)})
}

func answerJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client has gone
}

// create answers at once, and the stream connects afterwards, as Twilio's does.
func (a *API) create(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.calls[r.PathValue("call")]
	if c == nil || r.PathValue("account") != a.engine.Account {
		restFailure(w, http.StatusNotFound, 20404, "The requested resource was not found")
		return
	}
	verb, err := streamForm(r)
	if err != nil {
		restFailure(w, http.StatusBadRequest, 21610, err.Error())
		return
	}
	p := newPlaying(verb)
	c.streams = append(c.streams, p)
	go c.open(a.ctx, p) // finish waits for it
	answerJSON(w, http.StatusCreated, streamJSON(a.engine.Account, c.sid, p.sid, "in-progress"))
}

func (a *API) update(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, name := a.calls[r.PathValue("call")], r.PathValue("stream")
	if c == nil || r.FormValue("Status") != "stopped" {
		restFailure(w, http.StatusNotFound, 20404, "The requested resource was not found")
		return
	}
	i := slices.IndexFunc(c.streams, func(p *playing) bool { return p.sid+".json" == name && !p.stopped })
	if i < 0 {
		restFailure(w, http.StatusNotFound, 20404, "The requested resource was not found")
		return
	}
	c.finish(a.ctx, c.streams[i])
	answerJSON(w, http.StatusOK, streamJSON(a.engine.Account, c.sid, c.streams[i].sid, "stopped"))
}

func streamForm(r *http.Request) (streamVerb, error) {
	tracks, err := parseTrack(r.FormValue("Track"))
	if err != nil {
		return streamVerb{}, err
	}
	v := streamVerb{url: r.FormValue("Url"), status: r.FormValue("StatusCallback"), tracks: tracks, parameters: map[string]string{}}
	if v.url == "" {
		return v, fmt.Errorf("the parameter Url is missing")
	}
	for i := 1; i <= 99; i++ {
		prefix := "Parameter" + strconv.Itoa(i)
		if name := r.FormValue(prefix + ".Name"); name != "" {
			v.parameters[name] = r.FormValue(prefix + ".Value")
		}
	}
	return v, nil
}

func streamJSON(account, call, sid, status string) map[string]any {
	return map[string]any{
		"sid": sid, "account_sid": account, "call_sid": call, "name": nil, "status": status,
		"date_updated": time.Now().UTC().Format(time.RFC1123Z),
		"uri":          fmt.Sprintf("/2010-04-01/Accounts/%s/Calls/%s/Streams/%s.json", account, call, sid),
	}
}
