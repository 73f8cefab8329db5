package linking

import (
	"slices"
	"strings"

	"github.com/patchbay/patchbay/adapters/oem/ciscobib"
)

// id is an id of the recorded call.
type id struct {
	kind, value string
	key         string // the call's
	pair        bool   // the vendor makes several dialogs of one call and says by it which
}

// finders find the ids, in the order in which they are believed.
var finders = []struct {
	kind string
	pair bool
	find func(Request) string
}{
	{"x-refci", true, func(r Request) string {
		if r.Fork == nil {
			return ""
		}
		return r.Fork.Key()
	}},
	{"five9-pair", true, func(r Request) string { return ciscobib.PairKey(r.header(ciscobib.HeaderPair)) }},
	{"ucid", false, ucid},
	{"cisco-guid", false, func(r Request) string { return r.header("Cisco-Guid") }},
	{"ext-tracking-id", false, func(r Request) string {
		if v := r.View.Field("extTrackingID"); v != "" {
			return v
		}
		return r.header("X-BroadWorks-Correlation-Info")
	}},
	{"gcid", false, func(r Request) string { return r.View.Field("callData.gcid") }},
	{"genesys-uuid", false, func(r Request) string { return r.View.Field("GenesysUUID") }},
	{"callsid", false, func(r Request) string { return r.View.Field("callsid") }},
	{"sip-session-id", false, sipSession},
}

const maxVendorID = 256 // bytes of an id; a longer Call-ID is replaced by a hash

// identify lists the ids of the recorded call.
func (l *Linker) identify(r Request) []id {
	var list []id
	for _, f := range finders {
		value := clean(f.find(r))
		if value != "" && len(value) <= maxVendorID && !l.ignore[f.kind] {
			x := id{kind: f.kind, value: value, key: f.kind + ":" + value, pair: f.pair}
			if f.pair { // it is a key already
				x.key = value
				_, x.value, _ = strings.Cut(value, ":")
			}
			list = append(list, x)
		}
	}
	return list
}

func kinds() []string {
	var list []string
	for _, f := range finders {
		if !f.pair {
			list = append(list, f.kind)
		}
	}
	return list
}

func known(kind string) bool { return slices.Contains(kinds(), kind) }

// sipSession is the sipSessionID of the metadata (RFC 7989): of the pair that it may be the
// local half, since the other is not known from the start.
func sipSession(r Request) string {
	if r.View == nil {
		return ""
	}
	for _, s := range r.View.Document.Sessions {
		local, _, _ := strings.Cut(s.SIP, ";")
		if local = strings.TrimSpace(local); strings.Trim(local, "0-") != "" {
			return local
		}
	}
	return ""
}
