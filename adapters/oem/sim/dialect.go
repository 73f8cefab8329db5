package sim

import (
	"cmp"
	"slices"
)

// dialect is how one system records calls. Its messages are templates in
// dialects/NAME.sip; the facts come from the systems' public documentation and from
// published messages, and the numbers in them are invented.
type dialect struct {
	name     string
	about    string
	template string // file; default the name
	payloads []int  // offered, in order
	dialogs  []dialogPlan

	direction string // of a stream that is sent; default sendonly, "-" for no line at all
	zeroHold  bool   // holds by a connection address of zero, without direction line
	holdBy    string // template of re-INVITEs that hold and resume; default invite
	noTimer   bool   // no session timers
	delayed   bool   // INVITEs without a description; the answer goes into the ACK
	callID    bool   // Call-IDs like those of recorded calls, reused
	// heldPayloads are offered while held, where the system then offers fewer.
	heldPayloads []int
}

// dialogPlan is a recording dialog: most systems have one for a call.
type dialogPlan struct {
	streams  []streamPlan
	phase    string  // of its first messages
	from, to float64 // of the call's time; default all
	after    float64 // begins so much later than the one before, in seconds
	held     bool    // begins inactive
	story    []step
}

// streamPlan is a stream of a dialog.
type streamPlan struct {
	label string // "#" for a large number that differs per call; empty for none
	who   Speaker
}

// step is something that happens in the middle of a call.
type step struct {
	at     float64 // of the dialog's time
	method string  // INVITE or UPDATE
	form   string  // template; default invite
	phase  string  // of the story, from here on; default as it was
	do     effect
	lossy  bool // changes the codec: left out where the audio would not survive that
}

// effect is what a step changes in the media.
type effect int

const (
	unchanged effect = iota
	hold
	resume
	move     // all ports by two
	wideband // offer G.722 alone
)

// file is the name of the dialect's template.
func (d *dialect) file() string { return cmp.Or(d.template, d.name) }

var separate = []streamPlan{{"1", Customer}, {"2", Agent}}

// dialects are all that can be played. Where a system does something at every call, its
// story has that; rarer things are dialects of their own.
var dialects = []*dialect{
	{
		name: "avaya", about: "Avaya SBCE: a placeholder participant, replaced by an UPDATE", payloads: []int{0, 8, 18, 101},
		dialogs: []dialogPlan{{streams: []streamPlan{{"10", Customer}, {"20", Agent}}, phase: "placeholder", story: []step{
			{at: 0.2, method: "UPDATE", form: "update", phase: "known"},
		}}},
	},
	{
		name: "oracle", about: "Oracle (Acme Packet): old metadata, large labels, a transfer within the session", noTimer: true, payloads: []int{0, 8, 18, 101},
		dialogs: []dialogPlan{{streams: []streamPlan{{"#", Customer}, {"#", Agent}}, story: []step{
			{at: 0.6, method: "INVITE", phase: "transfer"},
		}}},
	},
	{
		name: "cube", about: "Cisco CUBE with SIPREC: a third part, begins inactive", payloads: []int{0, 101, 19},
		dialogs: []dialogPlan{{streams: separate, phase: "early", held: true, story: []step{
			{at: 0.02, method: "INVITE", phase: "late", do: resume},
		}}},
	},
	{
		name: "cube-nbr", about: "Cisco CUBE before SIPREC: plain SDP and participant headers, a transfer with new ports", payloads: []int{0, 101, 19},
		dialogs: []dialogPlan{{streams: []streamPlan{{"", Customer}, {"", Agent}}, story: []step{
			{at: 0.6, method: "INVITE", phase: "transfer", do: move},
		}}},
	},
	{
		name: "ribbon", about: "Ribbon (Sonus): prefixed metadata, crossed streams", payloads: []int{0, 8, 101},
		dialogs: []dialogPlan{{streams: []streamPlan{{"1", Agent}, {"2", Customer}}}},
	},
	{
		name: "ribbon-transfer", about: "Ribbon after a transfer with Replaces: the dialog ends and another begins", template: "ribbon", payloads: []int{0, 8, 101},
		dialogs: []dialogPlan{
			{streams: []streamPlan{{"1", Agent}, {"2", Customer}}, to: 0.5},
			{streams: []streamPlan{{"1", Agent}, {"2", Customer}}, from: 0.5},
		},
	},
	{name: "audiocodes", about: "AudioCodes Mediant in RFC 7865 mode", payloads: []int{0, 8, 101}, dialogs: []dialogPlan{{streams: separate}}},
	{name: "audiocodes-legacy", about: "AudioCodes Mediant in legacy mode", template: "audiocodes", payloads: []int{8, 0, 101}, dialogs: []dialogPlan{{streams: separate, phase: "legacy"}}},
	{
		name: "broadworks", about: "Broadworks: one mixed A-law stream, a pause, a third party joins", noTimer: true, payloads: []int{8, 0, 101}, direction: "-", zeroHold: true, holdBy: "sdp-only",
		dialogs: []dialogPlan{{streams: []streamPlan{{"1", Both}}, story: []step{
			{at: 0.3, method: "INVITE", form: "sdp-only", do: hold},
			{at: 0.4, method: "INVITE", form: "sdp-only", do: resume},
			{at: 0.6, method: "INVITE", phase: "joined"},
			{at: 0.6, method: "UPDATE", form: "update"},
		}}},
	},
	{
		name: "webex-calling", about: "Webex Calling: metadata first, a conference, new ids after a blind transfer", noTimer: true, payloads: []int{111, 0, 8, 9, 101, 100}, holdBy: "sdp-only",
		dialogs: []dialogPlan{{streams: separate, story: []step{
			{at: 0.3, method: "UPDATE", form: "update", phase: "conference"},
			{at: 0.35, method: "UPDATE", form: "update"},
			{at: 0.4, method: "UPDATE", form: "update"},
			{at: 0.5, method: "INVITE", form: "sdp-only", do: wideband, lossy: true},
			{at: 0.7, method: "INVITE", phase: "transfer"},
			{at: 0.7, method: "UPDATE", form: "update"},
		}}},
	},
	{
		name: "metaswitch", about: "Metaswitch CFS: both speakers in one stream, the port moves", noTimer: true, payloads: []int{0, 8, 9, 18, 2, 101}, direction: "-", zeroHold: true, heldPayloads: []int{0, 101},
		dialogs: []dialogPlan{{streams: []streamPlan{{"1", Both}}, story: []step{{at: 0.5, method: "INVITE", do: move}}}},
	},
	{
		name: "metaswitch-both", about: "Metaswitch CFS with both parties recorded: two dialogs for one call", noTimer: true, template: "metaswitch", payloads: []int{0, 8, 9, 18, 2, 101}, direction: "-", zeroHold: true,
		dialogs: []dialogPlan{{streams: []streamPlan{{"1", Both}}}, {streams: []streamPlan{{"1", Both}}, phase: "far"}},
	},
	{name: "opensips", about: "OpenSIPS: no time and no addresses in the description", noTimer: true, payloads: []int{0, 8, 3, 101}, dialogs: []dialogPlan{{streams: separate}}},
	{name: "sems", about: "an SBC built on SEMS: labels that are words", noTimer: true, payloads: []int{8, 0, 101}, direction: "-", dialogs: []dialogPlan{{streams: []streamPlan{{"a_leg", Customer}, {"b_leg", Agent}}}}},
	{name: "jambonz", about: "jambonz", noTimer: true, payloads: []int{0, 8, 101}, dialogs: []dialogPlan{{streams: separate}}},
	{name: "ng911", about: "a client of next generation 9-1-1: video, text and messages too", noTimer: true, payloads: []int{0, 8, 101}, callID: true, dialogs: []dialogPlan{{streams: separate}}},
	{name: "google", about: "a client made for Google's recording server; --conversation names one", payloads: []int{0, 8, 101}, dialogs: []dialogPlan{{streams: separate}}},
	{
		name: "cucm", about: "Cisco CUCM with the built-in bridge: two calls with delayed offers", payloads: []int{0, 8, 9, 101}, delayed: true,
		dialogs: []dialogPlan{
			{streams: []streamPlan{{"", Agent}}, phase: "near"},
			{streams: []streamPlan{{"", Customer}}, phase: "far", after: 0.2},
		},
	},
	{
		name: "five9-sip", about: "Five9's VoiceStream by SIP: a call for each leg", payloads: []int{0, 8, 101}, direction: "-",
		dialogs: []dialogPlan{{streams: []streamPlan{{"", Customer}}, phase: "near"}, {streams: []streamPlan{{"", Agent}}, phase: "far", after: 0.2}},
	},
}

// Dialects lists the names of what can be played.
func Dialects() []string {
	var names []string
	for _, d := range dialects {
		names = append(names, d.name)
	}
	return names
}

func findDialect(name string) *dialect {
	if i := slices.IndexFunc(dialects, func(d *dialect) bool { return d.name == name }); i >= 0 {
		return dialects[i]
	}
	return nil
}
