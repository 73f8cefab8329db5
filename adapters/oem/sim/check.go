package sim

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// checkAccepted finds what a strict client would not accept in a 2xx answer to an INVITE
// or UPDATE.
func checkAccepted(m *message, expires int) (odd []string) {
	contact := m.value("Contact")
	uri, params := splitAddress(contact)
	if _, ok := param(params, "+sip.srs"); !ok {
		odd = append(odd, fmt.Sprintf("Contact %q lacks +sip.srs", contact))
	}
	if !strings.HasPrefix(uri, "sip:") && !strings.HasPrefix(uri, "sips:") {
		odd = append(odd, fmt.Sprintf("Contact %q has no SIP URI", contact))
	}
	if tag(m.value("To")) == "" {
		odd = append(odd, "To has no tag")
	}
	return append(odd, checkTimer(m, expires)...)
}

// checkTimer is RFC 4028 as the client sees it.
func checkTimer(m *message, expires int) (odd []string) {
	value, params, _ := strings.Cut(m.value("Session-Expires"), ";")
	if value == "" {
		if slices.Contains(m.tokens("Require"), "timer") {
			odd = append(odd, "Require: timer without Session-Expires")
		}
		return odd
	}
	n, err := strconv.Atoi(strings.TrimSpace(value))
	if err != nil || n < 90 {
		return []string{fmt.Sprintf("Session-Expires %q", value)}
	}
	if expires > 0 && n > expires {
		odd = append(odd, fmt.Sprintf("Session-Expires %d is more than the %d that were asked for", n, expires))
	}
	refresher, _ := param(params, "refresher")
	if refresher != "uac" && refresher != "uas" {
		odd = append(odd, "Session-Expires names no refresher")
	}
	if refresher == "uac" && expires > 0 && !slices.Contains(m.tokens("Require"), "timer") {
		odd = append(odd, "Session-Expires without Require: timer")
	}
	return odd
}

// checkAnswer finds what is odd in the server's answer to an offer (RFC 3264, RFC 7866).
func checkAnswer(offer, answer description) (odd []string) {
	say := func(format string, args ...any) { odd = append(odd, fmt.Sprintf(format, args...)) }
	if len(answer.media) != len(offer.media) {
		say("the answer has %d m= lines to the offer's %d", len(answer.media), len(offer.media))
		return odd
	}
	accepted, offered := 0, 0
	ports := map[int]bool{}
	for i, a := range answer.media {
		o := offer.media[i]
		if o.port != 0 && o.kind == "audio" {
			offered++
		}
		if a.kind != o.kind || a.profile != o.profile {
			say("m= line %d answers %s %s with %s %s", i+1, o.kind, o.profile, a.kind, a.profile)
		}
		if a.label != o.label && (a.port != 0 || a.label != "") {
			say("m= line %d answers label %q with %q", i+1, o.label, a.label)
		}
		if a.port == 0 {
			continue
		}
		if o.port == 0 {
			say("m= line %d is ended, and yet answered with port %d", i+1, a.port)
			continue
		}
		if o.kind != "audio" {
			say("m= line %d accepts %s", i+1, o.kind)
			continue
		}
		accepted++
		if a.port%2 != 0 || ports[a.port] {
			say("m= line %d has port %d, which is odd or taken", i+1, a.port)
		}
		ports[a.port] = true
		odd = append(odd, checkSection(i, o, a, offer.zero)...)
	}
	if accepted < offered {
		say("%d of %d audio streams were refused", offered-accepted, offered)
	}
	return odd
}

// checkSection compares one accepted section. An offer whose o= line has an address of zero
// may mean hold (Metaswitch) or nothing (OpenSIPS), so it leaves the direction open.
func checkSection(i int, o, a mediaLine, open bool) (odd []string) {
	say := func(format string, args ...any) {
		odd = append(odd, fmt.Sprintf("m= line %d ", i+1)+fmt.Sprintf(format, args...))
	}
	want := "recvonly"
	if o.direction == "inactive" || o.addr.IsValid() && o.addr.IsUnspecified() {
		want = "inactive"
	}
	if open && a.direction == "inactive" {
		want = "inactive"
	}
	if a.direction != want {
		say("is %q; want %q", a.direction, want)
	}
	if !a.addr.IsValid() || a.addr.IsUnspecified() && want != "inactive" {
		say("has no connection address")
	}
	voices := 0
	for _, pt := range a.formats {
		if !slices.Contains(o.formats, pt) {
			say("has payload %s, which was not offered", pt)
			continue
		}
		t, ok := a.codec(pt)
		if !ok {
			say("maps payload %s to %q", pt, a.rtpmap[pt])
			continue
		}
		if t.Rate > 0 {
			voices++
		}
	}
	if voices == 0 {
		say("has no voice codec among %v", a.formats)
	}
	if a.ptime != "" && o.ptime != "" && a.ptime != o.ptime {
		say("has ptime %s; %s was offered", a.ptime, o.ptime)
	}
	switch {
	case len(o.crypto) == 0 && len(a.crypto) > 0:
		say("has a crypto line, although none was offered")
	case len(o.crypto) > 0 && len(a.crypto) != 1:
		say("has %d crypto lines; want one", len(a.crypto))
	case len(o.crypto) > 0:
		j := slices.IndexFunc(o.crypto, func(c cryptoLine) bool { return c.tag == a.crypto[0].tag })
		switch {
		case j < 0 || o.crypto[j].suite != a.crypto[0].suite:
			say("answers with suite %s under tag %s", a.crypto[0].suite, a.crypto[0].tag)
		case len(a.crypto[0].key) != len(o.crypto[j].key):
			say("has a key of %d bytes; want %d", len(a.crypto[0].key), len(o.crypto[j].key))
		case bytes.Equal(a.crypto[0].key, o.crypto[j].key):
			say("sends our own key back")
		}
	}
	return odd
}

// checkOffer finds what is odd in the server's offer to a call that came without one.
func checkOffer(offer description) (odd []string) {
	voices := 0
	for i, o := range offer.media {
		if o.kind != "audio" || o.port == 0 {
			odd = append(odd, fmt.Sprintf("m= line %d of the offer is %s on port %d", i+1, o.kind, o.port))
			continue
		}
		if o.direction != "recvonly" {
			odd = append(odd, fmt.Sprintf("m= line %d of the offer is %q; want recvonly", i+1, o.direction))
		}
		for _, pt := range o.formats {
			if t, ok := o.codec(pt); ok && t.Rate > 0 {
				voices++
			}
		}
	}
	if len(offer.media) != 1 || voices == 0 {
		odd = append(odd, fmt.Sprintf("the offer has %d m= lines and %d codecs; want one line", len(offer.media), voices))
	}
	return odd
}
