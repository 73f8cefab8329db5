package linking

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/patchbay/patchbay/adapters/oem/siprec"
)

// Link says what a dialog belongs to. It is deterministic.
func (l *Linker) Link(r Request) Link {
	k := Link{Claims: map[string]string{}}
	if r.CallID = clean(r.CallID); len(r.CallID) > maxVendorID {
		r.CallID = ConversationID("", r.CallID)
	}
	ids := l.identify(r)
	k.describe(r, ids)
	l.name(&k, r)
	if k.Conversation == "" {
		l.derive(&k, r, ids)
	}
	k.CallKey = key(k, r, ids)
	return k
}

// name looks for what names the conversation outright.
func (l *Linker) name(k *Link, r Request) {
	for _, way := range []struct {
		how  How
		find func(*Linker, *Link, Request) (found, bool)
	}{
		{ByCallInfo, (*Linker).callInfo},
		{ByUserToUser, (*Linker).userToUser},
		{ByTemplate, (*Linker).template},
	} {
		f, ok := way.find(l, k, r)
		if !ok {
			continue
		}
		if !r.Trusted {
			k.warn("%s names a conversation, which counts from peers alone that proved themselves", f.evidence)
			continue
		}
		k.Conversation, k.Name, k.How, k.Evidence, k.Named = f.conversation, f.name, way.how, f.evidence, true
		return
	}
}

// found is a conversation that a message names.
type found struct {
	conversation string
	name         *Name
	evidence     string
}

// named returns what a text names: a full name, or an id.
func named(text, evidence string) (found, bool) {
	if n, ok := ParseName(text); ok {
		return found{n.String(), &n, evidence}, true
	}
	return found{conversation: text, evidence: evidence}, ValidID(text)
}

// derive makes an id of what the telephone system calls the call.
func (l *Linker) derive(k *Link, r Request, ids []id) {
	if len(ids) > 0 {
		k.Conversation, k.How, k.Evidence = ConversationID(l.prefix, ids[0].value), ByVendorID, ids[0].kind
		return
	}
	k.Conversation, k.How, k.Evidence = ConversationID(l.prefix, r.CallID), ByCallID, "Call-ID"
}

// key is what dialogs of one call share: the pair that the vendor made, the conversation
// that is named, an id of the recorded call, and for a dialog alone its Call-ID.
func key(k Link, r Request, ids []id) string {
	if len(ids) > 0 && ids[0].pair {
		return ids[0].key
	}
	if k.Named {
		return "conversation:" + k.Conversation
	}
	if len(ids) > 0 {
		return ids[0].key
	}
	return "sip:" + r.CallID
}

func (k *Link) warn(format string, args ...any) {
	if len(k.Warnings) < 8 {
		k.Warnings = append(k.Warnings, fmt.Sprintf(format, args...))
	}
}

// describe fills in what routing and desktops may ask for.
func (k *Link) describe(r Request, ids []id) {
	for _, x := range ids {
		k.Claims[x.kind] = x.value
		if !slices.Contains(k.Aliases, x.value) {
			k.Aliases = append(k.Aliases, x.value)
		}
	}
	if r.Fork != nil {
		maps.Copy(k.Claims, r.Fork.Claims())
	}
	if r.View != nil {
		for _, f := range r.View.Document.Fields {
			if _, taken := k.Claims[f.Name]; !taken && len(k.Claims) < maxClaims && len(f.Value) <= maxClaim {
				k.Claims[f.Name] = f.Value
			}
		}
	}
	for _, address := range []string{r.URI, r.To} {
		if k.Dialled = number(siprec.ParseAddress(address).User); k.Dialled != "" {
			break
		}
	}
	k.Caller, k.Called = parties(r)
}

const (
	maxClaims = 64
	maxClaim  = 512 // bytes of a value
)

// number writes a user that is a number without what people put between digits.
func number(user string) string {
	user = clean(user)
	digits := siprec.Digits(user)
	switch {
	case digits == "":
		return user
	case strings.HasPrefix(strings.TrimSpace(user), "+"):
		return "+" + digits
	}
	return digits
}

// parties finds the numbers of the recorded call in the fields that state them.
func parties(r Request) (caller, called string) {
	fields := func(names ...string) string {
		for _, n := range names {
			if v := r.View.Field(n); v != "" {
				return number(siprec.ParseAddress(v).User)
			}
		}
		return ""
	}
	caller = fields("callingPartyNumber", "callData.fromhdr")
	called = fields("calledPartyNumber", "callData.tohdr")
	if r.Fork != nil && caller == "" {
		caller = number(r.Fork.FarAddress)
	}
	return caller, called
}

// clean returns text that may stand in a key: valid, in one line, without blanks around.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "")
	return strings.TrimSpace(strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return -1
		}
		return c
	}, s))
}

func (r Request) header(name string) string {
	if r.Headers == nil {
		return ""
	}
	if v := r.Headers.Values(name); len(v) > 0 {
		return strings.TrimSpace(v[0])
	}
	return ""
}
