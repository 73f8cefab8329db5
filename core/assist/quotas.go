package assist

import (
	"cmp"
	"strings"
)

// Quotas are the limits of a Google project that streams count against. Zero
// means the documented number, a negative one no limit.
type Quotas struct {
	StreamStarts int // StreamingAnalyzeContent and AnalyzeContent a minute, shared with Dialogflow
	ChirpStarts  int // new streams of a Chirp model a minute and region
	BidiSessions int // at a time, a region
}

// DefaultQuotas are what a project has without asking for more (Google's page
// "Agent Assist quotas", March 2026).
var DefaultQuotas = Quotas{StreamStarts: 300, ChirpStarts: 20, BidiSessions: 50}

// or fills the fields that are not set from d.
func (q Quotas) or(d Quotas) Quotas {
	return Quotas{
		StreamStarts: cmp.Or(q.StreamStarts, d.StreamStarts),
		ChirpStarts:  cmp.Or(q.ChirpStarts, d.ChirpStarts),
		BidiSessions: cmp.Or(q.BidiSessions, d.BidiSessions),
	}
}

// QuotaKind names what a quota counts.
type QuotaKind string

// The kinds of quotas.
const (
	QuotaStarts QuotaKind = "stream_starts" // a minute
	QuotaChirp  QuotaKind = "chirp_starts"  // a minute
	QuotaBidi   QuotaKind = "bidi_sessions" // at a time
)

// concurrent reports whether the quota counts what runs, not what starts.
func (k QuotaKind) concurrent() bool { return k == QuotaBidi }

// QuotaKey names whose quota it is: two streams with the same key share it.
type QuotaKey struct {
	Kind QuotaKind `json:"kind"`
	// Project is charged. Credentials is empty where the project is named by the
	// configuration; otherwise they decide it, and the path keeps them apart.
	Project     string `json:"project"`
	Credentials string `json:"credentials,omitempty"`
	Endpoint    string `json:"endpoint,omitempty"`
	Region      string `json:"region,omitempty" doc:"Empty where the quota is the same for all regions."`
	Model       string `json:"model,omitempty" doc:"Empty where the quota is the same for all speech models."`
}

// Quota is a quota with its number.
type Quota struct {
	QuotaKey
	Limit int
}

// quotaTable says which quotas a stream counts against (Google's page "Agent Assist
// quotas", March 2026).
var quotaTable = []struct {
	kind       QuotaKind
	transports []Transport
	model      string // prefix of the speech model
	regional   bool
	limit      func(Quotas) int
}{
	{QuotaStarts, []Transport{Extended, Streaming}, "", false, func(q Quotas) int { return q.StreamStarts }},
	{QuotaChirp, []Transport{Extended, Streaming}, "chirp", true, func(q Quotas) int { return q.ChirpStarts }},
	{QuotaBidi, []Transport{Bidi}, "", true, func(q Quotas) int { return q.BidiSessions }},
}

// quotas returns what a stream of the conversation with this speech model counts
// against.
func (o *Options) quotas(c Conversation, model string) (need []Quota) {
	g := c.Google
	numbers := g.Quotas.or(o.Quotas).or(DefaultQuotas)
	for _, row := range quotaTable {
		limit := row.limit(numbers)
		if limit < 0 || !strings.HasPrefix(model, row.model) || !has(row.transports, c.transport()) {
			continue
		}
		q := Quota{QuotaKey{Kind: row.kind, Project: c.chargedProject(), Endpoint: g.Endpoint}, limit}
		if g.QuotaProject == "" {
			q.Credentials = g.Credentials
		}
		if row.regional {
			q.Region = g.location()
		}
		if row.model != "" {
			q.Model = model
		}
		need = append(need, q)
	}
	return need
}

func has(list []Transport, t Transport) bool {
	for _, other := range list {
		if other == t {
			return true
		}
	}
	return false
}
