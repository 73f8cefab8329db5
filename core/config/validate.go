package config

import (
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
)

var (
	nameShape     = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	locationShape = regexp.MustCompile(`^[a-z]+(-[a-z]+\d+)?$`)
	projectShape  = regexp.MustCompile(`^([a-z0-9.-]+:)?[a-z0-9][a-z0-9-]{0,62}$`)
	languageShape = regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$`)
	relayShape    = regexp.MustCompile(`^([A-Za-z]+/)?[A-Za-z]+$`)
	// profileShape is the id of a conversation profile or its full name, with or without location.
	profileShape = regexp.MustCompile(`^(projects/[^/]+/(locations/([^/]+)/)?conversationProfiles/)?[A-Za-z0-9_-]+$`)
)

const nameAdvice = "write small letters, digits, - and _, at most 63"

// Validate returns adapter.Problems with every mistake that shows without looking at
// the machine, or nil.
func (c *Config) Validate() error { return c.problems().Err() }

func (c *Config) problems() adapter.Problems {
	v := validator{listeners: map[socket]string{}}
	v.api(c.API)
	v.google(c)
	v.adapters(c.Adapters)
	v.tenants(c)
	v.routes(c)
	v.pools(c)
	v.spool(c.Spool)
	v.limits(c.Limits)
	v.word("log.level", c.Log.Level, "debug", "info", "warn", "error")
	v.word("log.format", c.Log.Format, "auto", "text", "json")
	v.traces(c.Telemetry.Traces)
	return v.Problems
}

type validator struct {
	adapter.Problems
	listeners map[socket]string // → key
}

// socket is where a listener listens.
type socket struct{ network, host, port string }

func (v *validator) api(a API) {
	v.address(adapter.NetworkTCP, "api.listen", a.Listen)
	v.certificate("api.tls", a.TLS)
	switch {
	case a.Token.Ref != "" && !isReference(a.Token.Ref):
		v.Add("api.token", "", literal.why, literal.do)
	case a.Token.Ref == "" && !isLoopback(a.Listen):
		v.Add("api.token", "", fmt.Sprintf("missing, while api.listen %q can be reached from other machines", a.Listen),
			"write token: env:NAME, or listen on 127.0.0.1")
	}
}

func (v *validator) google(c *Config) {
	g := c.Google
	if g.Project == "" {
		if i := slices.IndexFunc(c.Routes, func(r Route) bool { return r.Project == "" }); i >= 0 {
			v.Add("google.project", "", fmt.Sprintf("missing, and routes[%d] names none either", i), "write the id of the Google Cloud project")
		}
	}
	v.project("google.project", g.Project)
	v.project("google.quota_project", g.QuotaProject)
	v.location("google.location", g.Location)
	v.atLeast("google.quotas.stream_starts", int64(g.Quotas.StreamStarts), -1)
	v.atLeast("google.quotas.chirp_starts", int64(g.Quotas.ChirpStarts), -1)
	v.atLeast("google.quotas.bidi_sessions", int64(g.Quotas.BidiSessions), -1)
	if g.Endpoint != "" {
		if why, do := addressFault(g.Endpoint); why != "" {
			v.Add("google.endpoint", g.Endpoint, why, do)
		}
	}
	switch {
	case g.Insecure && g.Endpoint == "":
		v.Add("google.insecure", "true", "only the emulator is reached without TLS", "name it in google.endpoint, or delete this line")
	case g.Insecure && g.Credentials != "":
		v.Add("google.insecure", "true", "credentials would travel without TLS", "delete google.credentials, or this line")
	}
}

func (v *validator) adapters(adapters []Adapter) {
	if len(adapters) == 0 {
		v.Add("adapters", "", "none, so nothing could call", "write at least one: - {name: …, plugin: …}")
	}
	seen := map[string]int{}
	for i, a := range adapters {
		key := at("adapters", i)
		v.name(key+".name", a.Name, i, seen)
		switch {
		case a.Plugin == "":
			v.Add(key+".plugin", "", "missing", `write the plugin's short name, such as twilio, or its path`)
		case !isPath(a.Plugin) && !nameShape.MatchString(a.Plugin):
			v.Add(key+".plugin", shorten(a.Plugin), "neither a short name nor a path", "write twilio for patchbay-adapter-twilio, or ./FILE")
		}
		if sum, err := hex.DecodeString(a.SHA256); a.SHA256 != "" && (err != nil || len(sum) != 32) {
			v.Add(key+".sha256", shorten(a.SHA256), "not a SHA-256", "write the 64 hexadecimal digits that sha256sum prints")
		}
		for _, name := range slices.Sorted(maps.Keys(a.Listen)) {
			v.address(adapter.NetworkOf(name), under(key+".listen", name), a.Listen[name])
		}
		v.certificate(key+".tls", a.TLS)
	}
}

func (v *validator) tenants(c *Config) {
	seen, owner := map[string]int{}, map[Account]string{}
	for i, t := range c.Tenants {
		key := at("tenants", i)
		v.name(key+".name", t.Name, i, seen)
		if len(t.Accounts) == 0 {
			v.Add(key+".accounts", "", "none, so the tenant has no calls", "write at least one: - {adapter: …, account: …}")
		}
		for j, a := range t.Accounts {
			key := at(key+".accounts", j)
			v.reference(key+".adapter", a.Adapter, instanceNames(c.Adapters), true)
			if other, ok := owner[a]; ok {
				v.Add(key, a.Account, "belongs to "+other+" already", "an account has one tenant: delete one of them")
				continue
			}
			owner[a] = key
		}
	}
}

func (v *validator) limits(l Limits) {
	v.atLeast("limits.calls", int64(l.Calls), 1)
	v.atLeast("limits.legs_per_call", int64(l.LegsPerCall), 1)
	v.atLeast("limits.tracks_per_call", int64(l.TracksPerCall), 1)
	if l.MemoryPerTrack < minMemoryPerTrack {
		v.Add("limits.memory_per_track", l.MemoryPerTrack.String(), "too little to outlast a change of streams", "write at least "+Bytes(minMemoryPerTrack).String())
	}
	v.duration("limits.grace", l.Grace, 0, maxGrace)
	v.duration("limits.lost_grace", l.LostGrace, 0, maxGrace)
	v.duration("limits.reattach_grace", l.ReattachGrace, 0, maxGrace)
	v.duration("limits.recover_age", l.RecoverAge, time.Minute, 24*time.Hour) // Google ends conversations after a day
}

func (v *validator) spool(s Spool) {
	if ref := s.Key.Ref; ref != "" && !isReference(ref) {
		v.Add("spool.key", "", literal.why, literal.do)
	} else if ref != "" && s.KeyFile != "" {
		v.Add("spool.key_file", shorten(s.KeyFile), "spool.key is there too", "delete one of the two")
	}
	if s.MaxTrackBytes < minSpoolBytes {
		v.Add("spool.max_per_track", s.MaxTrackBytes.String(), "too little to be of use", "write at least "+Bytes(minSpoolBytes).String())
	}
	if s.MaxBytes < s.MaxTrackBytes {
		v.Add("spool.max_size", s.MaxBytes.String(), "less than spool.max_per_track", "write at least "+s.MaxTrackBytes.String())
	}
	v.duration("spool.fsync_interval", s.SyncInterval, 100*time.Millisecond, time.Minute)
}

func (v *validator) duration(key string, d, least, most time.Duration) {
	if d < least || d > most {
		v.Add(key, d.String(), "out of bounds", fmt.Sprintf("write %v to %v", least, most))
	}
}

const (
	minMemoryPerTrack = 64 << 10 // eight seconds of telephony
	minSpoolBytes     = 2 << 20
	maxGrace          = 10 * time.Minute
)

func (v *validator) traces(t Traces) {
	const key = "telemetry.traces"
	if !(t.Ratio >= 0 && t.Ratio <= 1) { // not a number is neither
		v.Add(key+".ratio", strconv.FormatFloat(t.Ratio, 'g', -1, 64), "not a share", "write 0 to 1: 0.1 traces one call of ten")
	}
	if t.Endpoint == "" {
		return
	}
	const do = "write it like http://localhost:4318"
	u, err := url.Parse(t.Endpoint)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		v.Add(key+".endpoint", shorten(t.Endpoint), "not the URL of an OTLP receiver over HTTP", do)
	case u.User != nil:
		v.Add(key+".endpoint", "", "a secret must not stand in the file", "put headers into the environment variable OTEL_EXPORTER_OTLP_HEADERS")
	case u.RawQuery != "" || u.Fragment != "":
		v.Add(key+".endpoint", "", "more than a host and a path", do) // it may be a key
	case u.Port() == "4317":
		v.Add(key+".endpoint", shorten(t.Endpoint), "4317 is the port of OTLP over gRPC", "name the receiver's port for OTLP over HTTP, which is 4318 as a rule")
	}
}

func (v *validator) atLeast(key string, n, least int64) {
	if n < least {
		v.Add(key, strconv.FormatInt(n, 10), "too few", fmt.Sprintf("write %d or more", least))
	}
}

// name checks the name of item i, which must be its own.
func (v *validator) name(key, name string, i int, seen map[string]int) {
	first, twice := seen[name]
	switch {
	case name == "":
		v.Add(key, "", "missing", nameAdvice)
		return
	case !nameShape.MatchString(name):
		v.Add(key, shorten(name), "not a name", nameAdvice)
	case twice:
		v.Add(key, name, fmt.Sprintf("the name of item %d already", first), "choose another")
	}
	if !twice {
		seen[name] = i
	}
}

// reference checks that a name is defined elsewhere in the file.
func (v *validator) reference(key, name string, defined []string, required bool) {
	switch {
	case name == "" && required:
		v.Add(key, "", "missing", "write "+oneOf(defined))
	case name != "" && !slices.Contains(defined, name):
		_, do := notOneOf(name, defined)
		v.Add(key, shorten(name), "not defined in this file", do)
	}
}

func (v *validator) word(key, value string, words ...string) {
	if !slices.Contains(words, value) {
		why, do := notOneOf(value, words)
		v.Add(key, shorten(value), why, do)
	}
}

func (v *validator) project(key, project string) {
	if project != "" && !projectShape.MatchString(project) {
		v.Add(key, shorten(project), "not the id of a project", "write the id alone, such as my-project-123")
	}
}

func (v *validator) location(key, location string) {
	if location != "" && !locationShape.MatchString(location) {
		v.Add(key, shorten(location), "not a location of Dialogflow", `write global, or a region such as europe-west1`)
	}
}

func (v *validator) certificate(key string, t *TLS) {
	if t == nil {
		return
	}
	if t.Cert == "" {
		v.Add(key+".cert", "", "missing", "write the path of the certificate with its chain, in PEM")
	}
	if t.Key == "" {
		v.Add(key+".key", "", "missing", "write the path of the private key, in PEM")
	}
}

// address checks a listener's address and that no other listener of the network has it.
func (v *validator) address(network, key, address string) {
	if why, do := addressFault(address); why != "" {
		v.Add(key, shorten(address), why, do)
		return
	}
	host, port, _ := net.SplitHostPort(address) // addressFault has tried it
	if port == "0" {
		return
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = ""
	}
	var others []string
	for s, other := range v.listeners {
		if s.network == network && s.port == port && (s.host == host || s.host == "" || host == "") {
			others = append(others, other)
		}
	}
	if len(others) > 0 {
		v.Add(key, address, slices.Min(others)+" listens there already", "choose another port")
		return
	}
	v.listeners[socket{network, host, port}] = key
}

// addressFault says why text is not host:port, or nothing.
func addressFault(text string) (why, do string) {
	const advice = `write host:port, such as ":8443" or "127.0.0.1:8080"`
	_, port, err := net.SplitHostPort(text)
	switch {
	case text == "":
		return "missing", advice
	case strings.Contains(text, "://"):
		return "an address, not a URL, belongs here", advice
	case err != nil:
		if _, err := strconv.ParseUint(text, 10, 16); err == nil {
			return "a port without its colon", fmt.Sprintf(`write ":%s"`, text)
		}
		return "not host:port", advice
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "not a port", "write a number from 0 (any that is free) to 65535"
	}
	return "", ""
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return true // said elsewhere
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func instanceNames(adapters []Adapter) []string {
	names := make([]string, 0, len(adapters))
	for _, a := range adapters {
		if a.Name != "" {
			names = append(names, a.Name)
		}
	}
	return names
}
