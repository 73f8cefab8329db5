package linking_test

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/patchbay/patchbay/adapters/oem/ciscobib"
	"github.com/patchbay/patchbay/adapters/oem/linking"
	"github.com/patchbay/patchbay/adapters/oem/siprec"
)

// headers is a request's header lines.
type headers map[string][]string

func (h headers) Values(name string) []string { return h[name] }

func view(t *testing.T, text string) *siprec.View {
	t.Helper()
	d, err := siprec.ParseMetadata([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var v siprec.View
	v.Apply(d)
	return &v
}

const (
	name = "projects/example/conversations/CID-1"
	info = "<http://dialogflow.googleapis.com/v2beta1/" + name + ">;purpose=Goog-ContactCenter-Conversation"
)

func uui(text string) string { return hex.EncodeToString([]byte(text)) + ";encoding=hex" }

func TestLink(t *testing.T) {
	for title, c := range map[string]struct {
		settings linking.Settings
		r        linking.Request
		want     string // conversation
		how      linking.How
		named    bool
		key      string
		warning  string
	}{
		"Call-Info": {r: linking.Request{Trusted: true, CallID: "a@b", Headers: headers{"Call-Info": {info}}},
			want: name, how: linking.ByCallInfo, named: true, key: "conversation:" + name},
		"Call-Info with a location, among others, in another case": {r: linking.Request{Trusted: true, CallID: "a@b", Headers: headers{"Call-Info": {
			`<sip:h>;method="NOTIFY;Event=x,y"`, `<urn:x,y>;purpose=emergency-CallId, <https://eu-dialogflow.googleapis.com/v2/projects/example/locations/eu/conversations/CID-2> ;foo=1; PURPOSE="goog-contactcenter-conversation"`}}},
			want: "projects/example/locations/eu/conversations/CID-2", how: linking.ByCallInfo, named: true, key: "conversation:projects/example/locations/eu/conversations/CID-2"},
		"Call-Info for another purpose": {r: linking.Request{Trusted: true, CallID: "a@b", Headers: headers{"Call-Info": {strings.Replace(info, "Goog-ContactCenter-Conversation", "icon", 1)}}},
			want: "CID-a_40b", how: linking.ByCallID, key: "sip:a@b"},
		"two Call-Info that differ": {r: linking.Request{Trusted: true, CallID: "a@b", Headers: headers{"Call-Info": {info, strings.Replace(info, "CID-1", "CID-9", 1)}}},
			want: name, how: linking.ByCallInfo, named: true, key: "conversation:" + name, warning: "several"},
		"Call-Info with an impossible id": {r: linking.Request{Trusted: true, CallID: "a@b", Headers: headers{"Call-Info": {strings.Replace(info, "CID-1", "1", 1)}}},
			want: "CID-a_40b", how: linking.ByCallID, key: "sip:a@b", warning: "names no valid"},
		"Call-Info of a stranger": {r: linking.Request{CallID: "a@b", Headers: headers{"Call-Info": {info}}},
			want: "CID-a_40b", how: linking.ByCallID, key: "sip:a@b", warning: "proved themselves"},
		"User-to-User with a full name": {r: linking.Request{Trusted: true, CallID: "a@b", Headers: headers{"User-to-User": {uui(name)}}},
			want: name, how: linking.ByUserToUser, named: true, key: "conversation:" + name},
		"User-to-User without an encoding, in text": {r: linking.Request{Trusted: true, CallID: "a@b", Headers: headers{"User-to-User": {name}}},
			want: name, how: linking.ByUserToUser, named: true, key: "conversation:" + name},
		"User-to-User with an id": {settings: linking.Settings{BareIDs: true}, r: linking.Request{Trusted: true, CallID: "a@b", Headers: headers{"User-to-User": {uui("order-4711")}}},
			want: "order-4711", how: linking.ByUserToUser, named: true, key: "conversation:order-4711"},
		"User-to-User with an id, for Google": {r: linking.Request{Trusted: true, CallID: "a@b", Headers: headers{"User-to-User": {uui("order-4711") + ";purpose=Goog-Conversation"}}},
			want: "order-4711", how: linking.ByUserToUser, named: true, key: "conversation:order-4711"},
		"User-to-User with any word": {r: linking.Request{Trusted: true, CallID: "a@b", Headers: headers{"User-to-User": {uui("gold")}}},
			want: "CID-a_40b", how: linking.ByCallID, key: "sip:a@b"},
		"User-to-User with a UCID": {settings: linking.Settings{BareIDs: true}, r: linking.Request{Trusted: true, CallID: "a@b", Headers: headers{"User-to-User": {"00FA080018803B69810C6D;encoding=hex"}}},
			want: "CID-00024328271770065005", how: linking.ByVendorID, key: "ucid:00024328271770065005"},
		"Call-Info before User-to-User, and the key of the name": {r: linking.Request{Trusted: true, CallID: "a@b", Headers: headers{"Call-Info": {info}, "User-to-User": {"00FA080018803B69810C6D"}}},
			want: name, how: linking.ByCallInfo, named: true, key: "conversation:" + name},
		"a name, and dialogs that the vendor pairs": {r: linking.Request{Trusted: true, CallID: "a@b", Fork: &ciscobib.Fork{Ref: "7", Cluster: "c"}, Headers: headers{"Call-Info": {info}}},
			want: name, how: linking.ByCallInfo, named: true, key: "cucm:c/7"},
		"template on a header": {settings: linking.Settings{Templates: []linking.Template{{From: "header:X-Conversation", Match: `call=(\w+);.*`, Conversation: "T-$1"}}},
			r: linking.Request{Trusted: true, CallID: "a@b", Headers: headers{"X-Conversation": {"x", "call=42;more"}}}, want: "T-42", how: linking.ByTemplate, named: true, key: "conversation:T-42"},
		"template on a field, full name": {settings: linking.Settings{Templates: []linking.Template{{From: "field:apkt.header.X-Case", Conversation: "projects/example/conversations/$0"}}},
			r:    linking.Request{Trusted: true, CallID: "a@b", View: view(t, `<recording><extensiondata><apkt:header label="X-Case"><value>case-7</value></apkt:header></extensiondata></recording>`)},
			want: "projects/example/conversations/case-7", how: linking.ByTemplate, named: true, key: "conversation:projects/example/conversations/case-7"},
		"template on the Request-URI": {settings: linking.Settings{Templates: []linking.Template{{From: "uri:user", Match: `conv-(.+)`, Conversation: "$1"}}},
			r: linking.Request{Trusted: true, CallID: "a@b", URI: "sip:conv-abc@h"}, want: "abc", how: linking.ByTemplate, named: true, key: "conversation:abc"},
		"template that makes no id": {settings: linking.Settings{Templates: []linking.Template{{From: "from:user", Conversation: "$0"}}},
			r: linking.Request{Trusted: true, CallID: "a@b", From: "<sip:4711@h>"}, want: "CID-a_40b", how: linking.ByCallID, key: "sip:a@b", warning: "makes no valid"},
		"template of a stranger": {settings: linking.Settings{Templates: []linking.Template{{From: "header:X", Conversation: "$0"}}},
			r: linking.Request{CallID: "a@b", Headers: headers{"X": {"abc"}}}, want: "CID-a_40b", how: linking.ByCallID, key: "sip:a@b", warning: "proved themselves"},
		"an id that is ignored": {settings: linking.Settings{Ignore: []string{"cisco-guid"}, Prefix: "x"}, r: linking.Request{CallID: "a@b", Headers: headers{"Cisco-Guid": {"1-2"}}},
			want: "xa_40b", how: linking.ByCallID, key: "sip:a@b"},
		"vendor ids of strangers too": {r: linking.Request{CallID: "a@b", Headers: headers{"Cisco-Guid": {"1-2"}}},
			want: "CID-1-2", how: linking.ByVendorID, key: "cisco-guid:1-2"},
		"Five9's pair": {r: linking.Request{CallID: "a@b", Headers: headers{ciscobib.HeaderPair: {"77"}}},
			want: "CID-77", how: linking.ByVendorID, key: "five9:77"},
		"a session id of zeros": {r: linking.Request{CallID: "a@b", View: view(t, `<recording><session id="s"><sipSessionID>00000000000000000000000000000000;remote=1</sipSessionID></session></recording>`)},
			want: "CID-a_40b", how: linking.ByCallID, key: "sip:a@b"},
		"a long Call-ID": {r: linking.Request{CallID: strings.Repeat("x.", 100)}, want: "CID-", how: linking.ByCallID, key: "sip:"},
		"nothing at all": {r: linking.Request{}, want: "CID-", how: linking.ByCallID, key: "sip:"},
	} {
		l, err := linking.New(c.settings)
		if err != nil {
			t.Fatalf("%s: %v", title, err)
		}
		k := l.Link(c.r)
		hashed := strings.HasSuffix(c.want, "CID-") && strings.HasPrefix(k.Conversation, "CID-") && len(k.Conversation) == 36
		if k.Conversation != c.want && !hashed || k.How != c.how || k.Named != c.named || !strings.HasPrefix(k.CallKey, c.key) {
			t.Errorf("%s: %q by %s, named %v, key %q\nwant %q by %s, named %v, key %q", title, k.Conversation, k.How, k.Named, k.CallKey, c.want, c.how, c.named, c.key)
		}
		if words := strings.Join(k.Warnings, "|"); (c.warning == "") != (words == "") || !strings.Contains(words, c.warning) {
			t.Errorf("%s: warnings %q; want %q", title, words, c.warning)
		}
	}
}

func TestNumbers(t *testing.T) {
	l, _ := linking.New(linking.Settings{})
	k := l.Link(linking.Request{CallID: "x", URI: "sip:192.0.2.10:5060", To: `"R" <sip:+1-555-010-0130;x=y@h>;tag=1`, Fork: &ciscobib.Fork{FarAddress: "+1 555 0100119"}})
	if k.Dialled != "+15550100130" || k.Caller != "+15550100119" {
		t.Errorf("dialled %q, caller %q", k.Dialled, k.Caller)
	}
}

func TestUserToUser(t *testing.T) {
	for in, want := range map[string]string{
		"00FA080018803B69810C6D;encoding=hex":                 "00024328271770065005",
		"04C806414243313233FA0800190004697FA001":              "00025000041769971713", // behind another element
		"04C8064142433132FAFA08001900046981A000;Encoding=HEX": "00025000041770102784", // whose value looks like it
		"04C8064142433132FAFA0800190004":                      "",                     // cut off
		"00FA07001800690C6D00":                                "",                     // too short
		"02FA080018803B69810C6D":                              "",                     // another protocol
	} {
		if got := linking.ParseUserToUser([]string{in}); len(got) != 1 || got[0].UCID != want {
			t.Errorf("ParseUserToUser(%q) = %+v; want UCID %q", in, got, want)
		}
	}
	got := linking.ParseUserToUser([]string{`"hello, world";encoding=ascii;purpose="p", 68690a;encoding=hex`, ""})
	if len(got) != 2 || got[0].Text() != "hello, world" || got[0].Purpose != "p" || got[1].Text() != "hi" {
		t.Errorf("ParseUserToUser = %+v", got)
	}
}

func TestConversationID(t *testing.T) {
	seen := map[string]string{}
	for _, text := range []string{"", "a", "a@b.c", "a_40b.c", "a.b", "a-b", strings.Repeat("x", 61), strings.Repeat("y", 200), strings.Repeat("y", 201), "ü", "\x00"} {
		id := linking.ConversationID("CID-", text)
		if !linking.ValidID(id) || !strings.HasPrefix(id, "CID-") {
			t.Errorf("ConversationID(%q) = %q", text, id)
		}
		if other, taken := seen[id]; taken {
			t.Errorf("%q and %q have one id", text, other)
		}
		seen[id] = text
	}
}

func TestSettings(t *testing.T) {
	for want, s := range map[string]linking.Settings{
		"prefix":                     {Prefix: "1x"},
		"ignore_ids":                 {Ignore: []string{"x-refci"}},
		"templates[0]: from":         {Templates: []linking.Template{{From: "cookie:x", Conversation: "$0"}}},
		"templates[0]: conversation": {Templates: []linking.Template{{From: "header:x"}}},
		"templates[0]: match":        {Templates: []linking.Template{{From: "header:x", Conversation: "$0", Match: "("}}},
		"the name is missing":        {Templates: []linking.Template{{From: "header:", Conversation: "$0"}}},
		"uri:user or uri:host":       {Templates: []linking.Template{{From: "uri:port", Conversation: "$0"}}},
		"more than":                  {Templates: make([]linking.Template, 99)},
	} {
		if _, err := linking.New(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v; want %q", err, want)
		}
	}
}

// FuzzLink links any dialog: the conversation is one that Agent Assist takes, a stranger
// names none, and everything that crosses to the host is text in bounds.
func FuzzLink(f *testing.F) {
	f.Add(info, uui(name), "a@b", "<sip:1@h;x-refci=7>", "<recording><session id=\"00FA080018803B69810C6D\"/></recording>", true)
	f.Add(`<a>;purpose="x,y", <`+name+`>;purpose=goog-contactcenter-conversation`, "04C8,FA;encoding=hex;purpose=Goog-X", "", "sip:", "<recording><x>1</x></recording>", true)
	f.Add("<<>>;;=,,\"", "zz;encoding", "\xff\x00", "\"<", "<", false)
	f.Fuzz(func(t *testing.T, callInfo, userToUser, callID, from, metadata string, trusted bool) {
		l, err := linking.New(linking.Settings{BareIDs: true, Templates: []linking.Template{{From: "from:user", Match: "(.)(.*)", Conversation: "${2}$1"}}})
		if err != nil {
			t.Fatal(err)
		}
		r := linking.Request{Trusted: trusted, CallID: callID, From: from, To: callID, URI: from,
			Headers: headers{"Call-Info": {callInfo}, "User-to-User": {userToUser}, ciscobib.HeaderPair: {callID}, "Cisco-Guid": {userToUser}}}
		d, _ := siprec.ParseMetadata([]byte(metadata))
		var v siprec.View
		v.Apply(d)
		r.View = &v
		if fork, ok := ciscobib.ParseFrom(from); ok {
			r.Fork = &fork
		}
		k := l.Link(r)
		id := k.Conversation
		if k.Name != nil {
			if again, ok := linking.ParseName(id); !ok || again.String() != id || id != k.Name.String() {
				t.Errorf("the name %q does not read back", id)
			}
			id = k.Name.Conversation
		}
		if !linking.ValidID(id) || k.Named && !trusted || k.Named != (k.How != linking.ByVendorID && k.How != linking.ByCallID) {
			t.Errorf("link %+v", k)
		}
		all := append([]string{k.Conversation, k.CallKey, k.Dialled, k.Caller, k.Called}, k.Aliases...)
		all = append(all, k.Warnings...)
		for name, value := range k.Claims {
			all = append(all, name, value)
		}
		for _, s := range all {
			if !utf8.ValidString(s) || len(s) > 1024 {
				t.Errorf("%q is no text in bounds", s)
			}
		}
		if len(k.Claims) > 80 || len(k.Warnings) > 8 {
			t.Errorf("%d claims, %d warnings", len(k.Claims), len(k.Warnings))
		}
		if again := l.Link(r); !reflect.DeepEqual(again, k) {
			t.Errorf("asked again: %v, %v", fmt.Sprint(again), fmt.Sprint(k))
		}
	})
}
