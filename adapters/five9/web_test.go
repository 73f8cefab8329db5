package five9

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/patchbay/patchbay/adapters/five9/sim"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
)

func (b *bench) events(t *testing.T, subscription string) sim.Events {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	return sim.Events{URL: "http://" + b.addr() + DefaultPath + "/" + subscription, APIKey: testKey, Client: client}
}

func TestValidation(t *testing.T) {
	b := run(t, testConfig())
	e := b.events(t, "main")
	if err := e.Validate(t.Context(), testToken); err != nil {
		t.Errorf("the first token: %v", err)
	}
	for _, wrong := range []string{newToken, otherToken} {
		if e.Validate(t.Context(), wrong) == nil {
			t.Error("the hash of another token was answered")
		}
	}
	if err := b.events(t, "other").Validate(t.Context(), otherToken); err != nil {
		t.Errorf("the other subscription: %v", err)
	}
	if b.events(t, "nobody").Validate(t.Context(), testToken) == nil {
		t.Error("a subscription that is not listed was validated")
	}
	b.wantCount(t, countPath, 1)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("x-api-key", "wrong")
	res, err := e.Client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil || res.StatusCode != http.StatusUnauthorized {
		t.Errorf("with a wrong key: HTTP %s; want 401", res.Status)
	}
}

// TestKeys is who may bring events.
func TestKeys(t *testing.T) {
	ifPresent := func(c *Config) { c.EventKey, c.EventAddresses = KeyIfPresent, []string{"127.0.0.0/8"} }
	for _, c := range []struct {
		name         string
		cfg          func(*Config)
		subscription string
		key, header  string
		want         int
	}{
		{"the key", nil, "main", testKey, "x-api-key", 200},
		{"the key in the other header", nil, "main", testKey, "X-F9-APIKEY", 200},
		{"in a header of nobody's", nil, "main", testKey, "X-Key", 401},
		{"a wrong key", nil, "main", "wrong", "", 401},
		{"no key", nil, "main", "", "", 401},
		{"a subscription without keys", nil, "other", testKey, "", 401},
		{"no key, from a listed address", ifPresent, "main", "", "", 200},
		{"a wrong key, from a listed address", ifPresent, "main", "wrong", "", 401},
		{"the key, from elsewhere", func(c *Config) { c.EventAddresses = []string{"10.0.0.0/8"} }, "main", testKey, "", 403},
		{"no key, and insecure", func(c *Config) { c.Insecure = true }, "other", "", "", 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testConfig()
			if c.cfg != nil {
				c.cfg(&cfg)
			}
			b := run(t, cfg)
			e := b.events(t, c.subscription)
			e.APIKey, e.Header = c.key, c.header
			err := e.Call(t.Context(), map[string]string{"Call.call_id": "7", "Call.session_id": "S7"})
			if got := err == nil; got != (c.want == 200) || err != nil && !strings.Contains(err.Error(), fmt.Sprint("HTTP ", c.want)) {
				t.Errorf("the event got %v; want HTTP %d", err, c.want)
			}
			b.calls.mu.Lock()
			n := len(b.calls.byKey)
			b.calls.mu.Unlock()
			if n != 0 != (c.want == 200) {
				t.Errorf("%d calls are known of events; want them only if the event was let in", n)
			}
		})
	}
}

// TestEventsMeetLegs: before the first leg, while it runs, and of another domain.
func TestEventsMeetLegs(t *testing.T) {
	b := run(t, testConfig())
	e := b.events(t, "main")
	event := func(variables ...string) {
		t.Helper()
		m := map[string]string{"Call.call_id": "300000000012"}
		for i := 0; i < len(variables); i += 2 {
			m[variables[i]] = variables[i+1]
		}
		if err := e.Call(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	event("Call.session_id", "S77", "Call.ANI", "+15550100001", "Call.DNIS", "+15550100002", "Call.campaign_name", "sales", claimAgent, "forged")
	_, first := b.open(t, config())
	i := first.Info()
	if i.From != "+15550100001" || i.To != "+15550100002" || !slices.Equal(i.Aliases, []string{"300000000012", "S77"}) ||
		i.Claims["Call.campaign_name"] != "sales" || i.Claims[claimAgent] != "4001" || i.Claims["Call.ANI"] != "" {
		t.Errorf("the leg was introduced as %+v", i)
	}
	event("Call.session_id", "S77", "Call.campaign_name", "support")
	n := first.WaitNote(t, adapter.NoteMetadata)
	if len(n.Fields) != 1 || n.Fields["Call.campaign_name"] != "support" || len(n.Aliases) != 0 {
		t.Errorf("the note is %+v; want what has changed", n)
	}
	if n := len(b.calls.legs(callKey{otherDomain, "300000000012"})); n != 0 {
		t.Errorf("a call of another domain has %d legs", n)
	}
}

// TestVariables are taken as the settings say.
func TestVariables(t *testing.T) {
	cfg := testConfig()
	cfg.Variables = []string{"Call.campaign_name"}
	b := run(t, cfg)
	if err := b.events(t, "main").Call(t.Context(), map[string]string{"Call.call_id": "300000000012", "Call.session_id": "S77",
		"Call.campaign_name": "sales", "Customer.name": "Jane", "Call.ANI": "+15550100001"}); err != nil {
		t.Fatal(err)
	}
	_, l := b.open(t, config())
	i := l.Info()
	if i.From != "" || i.Claims["Customer.name"] != "" || i.Claims["Call.campaign_name"] != "sales" || !slices.Contains(i.Aliases, "S77") {
		t.Errorf("the leg was introduced as %+v", i)
	}
}

func TestStreamEvents(t *testing.T) {
	b := run(t, testConfig())
	e := b.events(t, "main")
	_, l := b.open(t, config())
	for _, c := range []struct{ status, failure, count string }{
		{"STREAMING", "", countStarted},
		{"ENDED_NORMALLY", "", countEnded},
		{"ERROR", "CONNECT_FAILURE", countFailed},
		{"FUTURE", "", countEvent},
	} {
		if err := e.Stream(t.Context(), "sub-1", testDomain, "300000000012", "Agent", c.status, c.failure); err != nil {
			t.Errorf("%s: %v", c.status, err)
		}
		b.wantCount(t, c.count, 1)
	}
	if n := l.WaitNote(t, adapter.NoteWarning); !strings.Contains(n.Text, "CONNECT_FAILURE") || !strings.Contains(n.Text, "Agent") {
		t.Errorf("the call was told %q", n.Text)
	}
}

// TestCallsAreForgotten bounds what events make us remember.
func TestCallsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c calls
		now := time.Now()
		key := func(i int) callKey { return callKey{testDomain, fmt.Sprint(i)} }
		vars := map[string]string{"Call.session_id": "S"}
		for i := range maxWaiting {
			c.learn(key(i), vars, now.Add(time.Duration(i)))
		}
		live := c.join(key(0), &stream{})
		if _, _, _, _, forgot := c.learn(key(maxWaiting), vars, now.Add(time.Minute)); forgot != 0 {
			t.Errorf("%d calls were forgotten; want none while there is room", forgot)
		}
		if _, _, _, _, forgot := c.learn(key(maxWaiting+1), vars, now.Add(time.Minute)); forgot != 1 || c.byKey[key(1)] != nil || len(c.byKey) != maxWaiting+1 {
			t.Errorf("%d were forgotten, %d are left; want the oldest to go", forgot, len(c.byKey))
		}
		c.learn(key(-1), vars, now.Add(time.Hour))
		if len(c.byKey) != 2 || c.byKey[key(0)] != live || c.waiting != 1 {
			t.Errorf("%d are left after an hour; want the live one and the new", len(c.byKey))
		}
		c.leave(live, live.streams[0])
		c.leave(live, &stream{})
		if c.waiting != 2 {
			t.Errorf("%d wait; want 2", c.waiting)
		}
	})
}

func TestVariablesAreBounded(t *testing.T) {
	var c calls
	many := map[string]string{"long": strings.Repeat("x", maxVariable+1)}
	for i := range maxVariables + 10 {
		many[fmt.Sprint("v", i)] = "x"
	}
	n, news, _, dropped, _ := c.learn(callKey{"d", "c"}, many, time.Now())
	if !news || len(n.Fields) != maxVariables || dropped != 11 {
		t.Errorf("%d variables were taken and %d dropped; want %d and 11", len(n.Fields), dropped, maxVariables)
	}
}

// TestEventsWhileTheLegOpens come between the leg's introduction and its admission.
func TestEventsWhileTheLegOpens(t *testing.T) {
	a, err := New(testConfig())
	if err != nil {
		t.Fatal(err)
	}
	key := callKey{testDomain, "7"}
	s := &stream{a: a}
	k := a.calls.join(key, s)
	i := adapter.LegInfo{Claims: map[string]string{}}
	seen := k.describe(&i)
	_, _, legs, _, _ := a.calls.learn(key, map[string]string{"Call.session_id": "S7"}, time.Now())
	if len(legs) != 0 {
		t.Errorf("%d legs were told before they were admitted", len(legs))
	}
	if n, news := k.opened(s, nil, seen, time.Now()); !news || !slices.Equal(n.Aliases, []string{"S7"}) {
		t.Errorf("the leg was told %+v; want the session", n)
	}
}

// TestSimulatedCalls plays fifty calls of two legs with events, over two connections.
func TestSimulatedCalls(t *testing.T) {
	b := run(t, testConfig())
	const calls = 50
	report, err := sim.Run(t.Context(), sim.Options{Target: b.addr(), TrustToken: testToken, EventsURL: b.events(t, "main").URL, APIKey: testKey,
		Calls: calls, FirstCall: 300000000000, Duration: 2 * time.Second, Speed: 10, Variables: map[string]string{"Call.campaign_name": "sales"}})
	if err != nil {
		t.Fatal(err)
	}
	heard := map[string]*adaptertest.Leg{}
	for _, l := range b.sink.Legs() {
		heard[l.Info().CallKey+"/"+l.Info().LegKey] = l
		if r := l.WaitClosed(t); r.Kind != adapter.EndHangup {
			t.Errorf("leg %s ended with %q (%s)", l.Info().LegKey, r.Kind, r.Text)
		}
	}
	if len(heard) != 2*calls || len(b.sink.Calls()) != calls {
		t.Errorf("%d legs of %d calls; want %d of %d", len(heard), len(b.sink.Calls()), 2*calls, calls)
	}
	for _, c := range report.Calls {
		if c.Error != "" {
			t.Errorf("call %s: %s", c.Call, c.Error)
		}
		for _, tr := range c.Tracks {
			l := heard[c.Call+"/"+string(tr.Track)+"/4001/-"]
			if l == nil || tr.Samples != 16000 || l.Samples(tr.Track) != tr.Samples {
				t.Errorf("call %s, track %s: %d samples were sent, %v heard", c.Call, tr.Track, tr.Samples, l)
				continue
			}
			if l.Info().Claims["Call.campaign_name"] != "sales" {
				t.Errorf("call %s: claims %v", c.Call, l.Info().Claims)
			}
		}
	}
	b.wantCount(t, countStarted, 2*calls)
	b.wantCount(t, countEnded, 2*calls)
}

// TestReconnect is what Five9 may do after a stream was lost, and when it is asked to
// come again: it comes back, or it never does.
func TestReconnect(t *testing.T) {
	for _, comesBack := range []bool{true, false} {
		t.Run(fmt.Sprintf("comes back %v, dropped", comesBack), func(t *testing.T) {
			b := run(t, testConfig())
			report, err := sim.Run(t.Context(), sim.Options{Target: b.addr(), TrustToken: testToken, Duration: time.Second, Speed: 10,
				Legs: []sim.Leg{sim.Customer}, DropAfter: 500 * time.Millisecond, Reconnect: comesBack})
			if err != nil || report.Calls[0].Error != "" {
				t.Fatal(err, report.Calls[0].Error)
			}
			want := []adapter.EndKind{adapter.EndLost}
			if comesBack {
				want = append(want, adapter.EndHangup)
			}
			if heard := b.wantEnds(t, want); heard > report.Calls[0].Tracks[0].Samples {
				t.Errorf("%d samples were heard of %d", heard, report.Calls[0].Tracks[0].Samples)
			}
		})
		t.Run(fmt.Sprintf("comes back %v, asked", comesBack), func(t *testing.T) {
			b := run(t, testConfig())
			type result struct {
				report adapter.SimReport
				err    error
			}
			done := make(chan result, 1)
			go func() {
				r, err := sim.Run(t.Context(), sim.Options{Target: b.addr(), TrustToken: testToken, Duration: 3 * time.Second, Speed: 5,
					Legs: []sim.Leg{sim.Customer}, Reconnect: comesBack})
				done <- result{r, err}
			}()
			l := b.sink.WaitLeg(t, 0)
			l.WaitFrames(t, 5)
			l.Order(adapter.Control{Kind: adapter.ControlEnd, Reason: "a test", Reconnect: true})
			r := <-done
			if r.err != nil || (r.report.Calls[0].Error == "") != comesBack {
				t.Errorf("the call went with %v, %q", r.err, r.report.Calls[0].Error)
			}
			want := []adapter.EndKind{adapter.EndOrdered}
			if comesBack {
				want = append(want, adapter.EndHangup)
			}
			if heard := b.wantEnds(t, want); heard != r.report.Calls[0].Tracks[0].Samples {
				t.Errorf("%d samples were heard of %d", heard, r.report.Calls[0].Tracks[0].Samples)
			}
		})
	}
}

// wantEnds checks how the legs ended, one after the other, and returns how many samples
// they heard in all.
func (b *bench) wantEnds(t *testing.T, want []adapter.EndKind) (heard int64) {
	t.Helper()
	var got []adapter.EndKind
	for _, l := range b.sink.Legs() {
		kind := l.WaitClosed(t).Kind
		if len(got) == 0 && want[0] == adapter.EndLost && len(want) > 1 && kind == adapter.EndOrdered {
			kind = adapter.EndLost // the new stream was faster than the news of the loss
		}
		got = append(got, kind)
		heard += l.Samples("customer")
	}
	if !slices.Equal(got, want) {
		t.Errorf("the legs ended with %q; want %q", got, want)
	}
	return heard
}

func TestConfigProblems(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"none", func(*Config) {}, ""},
		{"one domain, the default id", func(c *Config) { c.Subscriptions, c.ConversationID = c.Subscriptions[:1], DefaultConversationID }, ""},
		{"nothing but insecure", func(c *Config) { *c = DefaultConfig(); c.Insecure = true }, ""},
		{"no subscriptions", func(c *Config) { c.Subscriptions = nil }, "subscriptions: none is listed"},
		{"two domains, no domain in the id", func(c *Config) { c.ConversationID = DefaultConversationID }, "conversation_id = \"five9-{call}\": subscriptions names 2 domains"},
		{"no call in the id", func(c *Config) { c.ConversationID = "five9-{domain}" }, "it lacks {call}"},
		{"an id that begins with a number", func(c *Config) { c.ConversationID = "9-{domain}-{call}" }, "begins with a letter"},
		{"an id that begins with the call", func(c *Config) { c.ConversationID = "{call}-five9-{domain}" }, "begins with a letter"},
		{"an id with a slash", func(c *Config) { c.ConversationID = "a/{domain}-{call}" }, "begins with a letter"},
		{"an id that is too long", func(c *Config) { c.ConversationID = strings.Repeat("a", 30) + "{domain}{call}" }, "too little room"},
		{"no id", func(c *Config) { c.ConversationID = "" }, "it lacks {call}"},
		{"a name twice", func(c *Config) { c.Subscriptions[1].Name = "main" }, "subscriptions[1].name = \"main\": subscriptions[0] has the same"},
		{"a name with a slash", func(c *Config) { c.Subscriptions[1].Name = "a/b" }, "a name is 1 to 40"},
		{"a domain with a space", func(c *Config) { c.Subscriptions[1].Domain = "a b" }, "no Five9 domain id"},
		{"no token", func(c *Config) { c.Subscriptions[1].TrustTokens = nil }, "subscriptions[1].trust_tokens: none is listed"},
		{"a short token", func(c *Config) { c.Subscriptions[1].TrustTokens = []adapter.Secret{"short"} }, "fewer than 24"},
		{"a token with a line break", func(c *Config) { c.Subscriptions[1].TrustTokens = []adapter.Secret{testToken + "\n"} }, "characters that no header"},
		{"three tokens", func(c *Config) { c.Subscriptions[1].TrustTokens = []adapter.Secret{otherToken, otherToken, otherToken} }, "at most two"},
		{"a token of two domains", func(c *Config) { c.Subscriptions[1].TrustTokens = []adapter.Secret{testToken} }, "subscriptions[0] of another domain has the same"},
		{"a path with a slash at its end", func(c *Config) { c.Path = "/five9/" }, "no path of an URL"},
		{"a network that is none", func(c *Config) { c.Addresses = []string{"10.0.0.0/8", "here"} }, "addresses[1] = \"here\""},
		{"no key, and no addresses", func(c *Config) { c.EventKey = KeyIfPresent }, "would be taken from anybody"},
		{"a choice that is none", func(c *Config) { c.EventKey = "maybe" }, "there is no such choice"},
		{"a CA that is not there", func(c *Config) { c.ClientCA = "nowhere.pem" }, "client_ca = \"nowhere.pem\""},
		{"no room", func(c *Config) { c.Limits.MaxStreams = 0 }, "limits.max_streams"},
		{"no patience", func(c *Config) { c.Limits.IdleTimeout = 0 }, "limits.idle_timeout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testConfig()
			c.change(&cfg)
			_, err := New(cfg)
			if c.want == "" {
				if err != nil {
					t.Errorf("New: %v", err)
				}
				return
			}
			if _, ok := errors.AsType[adapter.Problems](err); !ok || !strings.Contains(err.Error(), c.want) {
				t.Errorf("New: %v; want %q", err, c.want)
			}
			if strings.Contains(err.Error(), testToken) || strings.Contains(err.Error(), otherToken) {
				t.Error("the problem shows a token")
			}
		})
	}
}
