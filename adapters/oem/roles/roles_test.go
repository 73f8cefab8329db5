package roles

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/patchbay/patchbay/adapters/oem/ciscobib"
	"github.com/patchbay/patchbay/adapters/oem/siprec"
	"github.com/patchbay/patchbay/core/adapter"
)

type headers map[string][]string

func (h headers) Values(name string) []string { return h[name] }

func view(t *testing.T, documents ...string) *siprec.View {
	t.Helper()
	var v siprec.View
	for _, text := range documents {
		d, err := siprec.ParseMetadata([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		v.Apply(d)
	}
	return &v
}

// two has a caller with a full number on label 1 and an agent with one on label 2, so
// that nothing but what a test adds tells them apart.
func two(more string) string {
	return `<recording><participant id="C"><aor>sip:+15550100101@a.example</aor><send>A</send></participant>
<participant id="G"><aor>sip:+15550100121@b.example</aor><send>B</send></participant>
<stream id="A"><label>1</label></stream><stream id="B"><label>2</label></stream>` + more + `</recording>`
}

func broadworks(user, half string) string {
	return `<extensiondata><broadWorksRecordingMetadata><userID>` + user + `</userID><` + half + `><callingPartyNumber>5550100101</callingPartyNumber></` + half + `></broadWorksRecordingMetadata></extensiondata>`
}

// lines makes lines of labels.
func lines(labels ...string) []Line {
	var list []Line
	for i, l := range labels {
		list = append(list, Line{Index: i, Label: l})
	}
	return list
}

// say writes voices in short: label=role, ? for assumed, * for mixed.
func say(list []Voice) string {
	var words []string
	for _, v := range list {
		w := v.Label + "=" + string(v.Speaker.Role)
		if v.Speaker.Assumed {
			w += "?"
		}
		if v.Mixed {
			w += "*"
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

// TestOrder has a row for each step of the order of evidence. Where steps contradict,
// the earlier one wins.
func TestOrder(t *testing.T) {
	const cust, agent = adapter.RoleEndUser, adapter.RoleHumanAgent
	for name, c := range map[string]struct {
		in       Input
		want     string
		evidence string // begins the first voice's
	}{
		"rule by label": {Input{Lines: lines("1", "2"), View: view(t, two(broadworks("+15550100121", "termCall"))), Rules: Rules{Labels: map[string]adapter.Role{"1": agent}}},
			"1=human_agent 2=end_user", "rule labels: 1"},
		"rule by place": {Input{Lines: lines("1", "2"), Rules: Rules{Lines: []adapter.Role{"", cust}}},
			"1=human_agent 2=end_user", "the other of two voices: rule lines: the second"},
		"rule by place, second dialog": {Input{Lines: lines(""), Before: 1, Rules: Rules{Lines: []adapter.Role{cust, agent}}}, "=human_agent", "rule lines: the second"},
		"rule by a header with a label": {Input{Lines: lines("1", "2"), Headers: headers{"X-Agent-Label": {"1"}}, Rules: Rules{AgentFrom: []string{"X-Agent-Label"}}},
			"1=human_agent 2=end_user", "rule agent_from: X-Agent-Label"},
		"rule by a header with an address": {Input{Lines: lines("1", "2"), View: view(t, two("")), Headers: headers{"From": {`"A" <sip:5550100121@sbc>;tag=1`}}, Rules: Rules{AgentFrom: []string{"From"}}},
			"1=end_user 2=human_agent", "the other of two voices: rule agent_from: From"},
		"rule by a field": {Input{Lines: lines("1", "2"), View: view(t, two(`<extensiondata><who>sip:+15550100101@x</who></extensiondata>`)), Rules: Rules{AgentFrom: []string{"who"}}},
			"1=human_agent 2=end_user", "rule agent_from: who"},
		"rule by number":            {Input{Lines: lines("1", "2"), View: view(t, two("")), Rules: Rules{Customers: Match{Numbers: []string{"+1555010012*"}}}}, "1=human_agent 2=end_user", "the other"},
		"rule by domain":            {Input{Lines: lines("1", "2"), View: view(t, two("")), Rules: Rules{Agents: Match{Domains: []string{"*.example"}}}}, "1=human_agent 2=human_agent", "rule agents: number, user or domain"},
		"near end of CUCM":          {Input{Lines: lines(""), Fork: &ciscobib.Fork{Near: true}}, "=human_agent", "x-nearend"},
		"far end of CUCM":           {Input{Lines: lines(""), Fork: &ciscobib.Fork{Far: true}}, "=end_user", "x-farend"},
		"neither end of CUCM":       {Input{Lines: lines(""), Fork: &ciscobib.Fork{Ref: "7"}}, "=end_user?", "default"},
		"calling party, inbound":    {Input{Lines: lines("1", "2"), View: view(t, two(""), `<recording><datamode>partial</datamode><participant id="G"><extensiondata><apkt:callingParty>true</apkt:callingParty></extensiondata></participant></recording>`), Rules: Rules{Direction: Inbound}}, "1=human_agent 2=end_user", "the other of two voices: apkt:callingParty of an inbound call (rule direction)"},
		"calling party, outbound":   {Input{Lines: lines("1", "2"), View: view(t, two(""), `<recording><datamode>partial</datamode><participant id="G"><extensiondata><apkt:callingParty>TRUE</apkt:callingParty></extensiondata></participant></recording>`), Rules: Rules{Direction: Outbound}}, "1=end_user 2=human_agent", "the other"},
		"calling party, unknown":    {Input{Lines: lines("1", "2"), View: view(t, two(""), `<recording><datamode>partial</datamode><participant id="G"><extensiondata><apkt:callingParty>true</apkt:callingParty></extensiondata></participant></recording>`)}, "1=human_agent? 2=end_user?", "the other"},
		"recorded user, Broadworks": {Input{Lines: lines("1", "2"), View: view(t, two(broadworks("5550100101@other", "termCall")))}, "1=human_agent 2=end_user", "the recorded user of Broadworks"},
		"recorded party, Metaswitch": {Input{Lines: lines("1", "2"), View: view(t, two(`<extensiondata><metaswitchRecordingMetadata><recordedParty>+15550100121</recordedParty></metaswitchRecordingMetadata></extensiondata>`))},
			"1=end_user 2=human_agent", "the other of two voices: the recorded party of Metaswitch"},
		"crossed streams (Sonus)": {Input{Lines: lines("1", "2"), View: view(t, `<recording><participant id="C"><aor>+15550100101@h</aor></participant><participant id="G"><aor>4711@h</aor></participant>
<stream id="A"><label>1</label></stream><stream id="B"><label>2</label></stream><participantstreamassoc participant_id="C"><send>B</send></participantstreamassoc><participantstreamassoc participant_id="G"><send>A</send></participantstreamassoc></recording>`), Rules: Rules{Agents: Match{Extensions: Lengths{3, 5}}}},
			"1=human_agent 2=end_user", "rule agents: length of the number"},
		"party by place": {Input{Lines: lines("1", "2"), View: view(t, `<recording><participant id="C"><aor>+15550100101@h</aor></participant><participant id="G"><aor>4711@h</aor></participant></recording>`), Rules: Rules{Agents: Match{Extensions: Lengths{3, 5}}}},
			"1=end_user? 2=human_agent?", "the other"},
		"From names the recorded user": {Input{Lines: lines("1", "2"), View: view(t, two(broadworks("opaque@x", "termCall"))), Headers: headers{"From": {"<sip:+15550100121@as>"}}},
			"1=end_user 2=human_agent", "the other of two voices: From of the recording call"},
		"From of others names anybody": {Input{Lines: lines("1", "2"), View: view(t, two("")), Headers: headers{"From": {"<sip:+15550100101@as>"}}}, "1=end_user? 2=human_agent?", "default"},
		"calling number, outbound":     {Input{Lines: lines("1", "2"), View: view(t, two(broadworks("opaque@x", "origCall")))}, "1=human_agent 2=end_user", "callingPartyNumber names the calling party of an outbound call"},
		"calling number, fork of Ribbon": {Input{Lines: lines("1", "2"), View: view(t, two(`<callData><fromhdr>&lt;sip:5550100121@h&gt;</fromhdr></callData>`)), Rules: Rules{Direction: Inbound}},
			"1=human_agent 2=end_user", "the other of two voices: callData.fromhdr"},
		"extension beside a number": {Input{Lines: lines("", ""), Parties: []ciscobib.Participant{{URI: "sip:4711@h", Index: 0}, {URI: "sip:+15550100101@h", Index: 1}}}, "=human_agent? =end_user?", "an extension beside"},
		"direction and places":      {Input{Lines: lines("1", "2"), Rules: Rules{Direction: Outbound}}, "1=human_agent? 2=end_user?", "outbound call (rule direction)"},
		"default":                   {Input{Lines: lines("1", "2")}, "1=end_user? 2=human_agent?", "default: the first stream"},
		"default, second dialog":    {Input{Lines: lines(""), Before: 1}, "=human_agent?", "default: the second"},
		"one line alone":            {Input{Lines: lines("1")}, "1=end_user?", "default"},
		"three voices":              {Input{Lines: lines("1", "2", "3")}, "1=end_user? 2=human_agent? 3=other?", "default"},
		"three voices, one known":   {Input{Lines: lines("1", "2", "3"), Rules: Rules{Labels: map[string]adapter.Role{"1": agent}}}, "1=human_agent 2=end_user? 3=other?", "rule labels"},
		"no lines":                  {Input{View: view(t, two(""))}, "", ""},
	} {
		got := Assign(c.in)
		if say(got) != c.want || len(got) > 0 && !strings.HasPrefix(got[0].Speaker.Evidence, c.evidence) {
			t.Errorf("%s: %s (%s)\nwant %s (%s)", name, say(got), evidence(got), c.want, c.evidence)
		}
	}
}

func evidence(list []Voice) string {
	if len(list) == 0 {
		return ""
	}
	return list[0].Speaker.Evidence
}

func TestMixed(t *testing.T) {
	one := func(mode, people string) string {
		return `<recording><stream id="A"><label>1</label><mode>` + mode + `</mode></stream>` + people + `</recording>`
	}
	const both = `<participant id="C"><aor>1</aor><send>A</send></participant><participant id="G"><aor>2</aor><send>A</send></participant>`
	for name, c := range map[string]struct {
		in   Input
		want string
	}{
		"both send":                      {Input{Lines: lines("1"), View: view(t, one("", both))}, "1=other*"},
		"both send, in a second dialog":  {Input{Lines: lines("1"), Before: 1, View: view(t, one("", both+broadworks("1", "termCall")))}, "1=other*"},
		"the metadata says so":           {Input{Lines: lines("1"), View: view(t, one("mixed", `<participant id="C"/>`))}, "1=other*"},
		"mixed, and one sends":           {Input{Lines: lines("1"), View: view(t, one("mixed", `<participant id="C"><send>A</send></participant>`))}, "1=end_user?"},
		"two parties, nobody sends":      {Input{Lines: lines("1"), View: view(t, one("", `<participant id="C"/><participant id="G"/>`))}, "1=other?*"},
		"separate, two lines":            {Input{Lines: lines("1", "2"), View: view(t, one("mixed", both))}, "1=end_user? 2=human_agent?"},
		"two lines, one is over":         {Input{Lines: []Line{{Index: 0, Label: "1"}, {Index: 1, Label: "2", Ended: true}}, View: view(t, one("", both))}, "1=end_user? 2=human_agent?"},
		"one line, two streams (Avaya)":  {Input{Lines: lines("1"), View: view(t, `<recording><participant id="C"><send>A</send></participant><participant id="G"><send>B</send></participant><stream id="A"><label>1</label></stream><stream id="B"><label>2</label></stream></recording>`)}, "1=end_user?"},
		"a rule says what becomes of it": {Input{Lines: lines("1"), View: view(t, one("mixed", both)), Rules: Rules{Labels: map[string]adapter.Role{"1": adapter.RoleEndUser}}}, "1=end_user*"},
		"a domain says nothing of it":    {Input{Lines: lines("1"), View: view(t, one("mixed", both)), Rules: Rules{Agents: Match{Numbers: []string{"*"}}}}, "1=other*"},
		"two parties of NBR on one line": {Input{Lines: lines(""), Parties: []ciscobib.Participant{{URI: "sip:1@h"}, {URI: "sip:2@h"}}}, "=other*"},
		"no metadata":                    {Input{Lines: lines("")}, "=end_user?"},
	} {
		got := Assign(c.in)
		if say(got) != c.want {
			t.Errorf("%s: %s (%s); want %s", name, say(got), evidence(got), c.want)
		}
		if got[0].Mixed && got[0].Speaker.Role == adapter.RoleOther && (got[0].Speaker.ID != Mixed || !strings.HasPrefix(got[0].Speaker.Evidence, "mixed: ")) {
			t.Errorf("%s: %+v", name, got[0].Speaker)
		}
	}
}

// Who was known keeps the ID as parties come and go.
func TestIDsStay(t *testing.T) {
	v := view(t, two(broadworks("+15550100121", "termCall")))
	in := Input{Lines: lines("1", "2"), View: v}
	first := Assign(in)
	in.Lines = lines("1", "2", "3", "4")
	v.Apply(siprec.Document{Partial: true,
		Participants: []siprec.Participant{{ID: "X", AoR: "sip:+15550100131@h", Send: []string{"E"}}, {ID: "Y", AoR: "sip:+15550100132@h", Send: []string{"A"}}},
		Streams:      []siprec.Stream{{ID: "E", Label: "3"}}})
	joined := Assign(in)
	in.Lines[0].Ended = true
	over := Assign(in)
	for i, list := range [][]Voice{first, joined, over} {
		if list[0].Speaker.ID != Customer || list[1].Speaker.ID != Agent {
			t.Errorf("step %d: %s and %s", i, list[0].Speaker.ID, list[1].Speaker.ID)
		}
	}
	if len(joined[0].Parties) != 2 || joined[2].Speaker.ID == joined[3].Speaker.ID || joined[2].Speaker.ID != over[2].Speaker.ID || joined[2].Speaker.Role != adapter.RoleOther {
		t.Errorf("joined: %+v", joined)
	}
	if got := Assign(in); !reflect.DeepEqual(got, over) {
		t.Error("asked again, the answer differs")
	}
}

// The stream that Oracle's list leaves out is found by the id that is sent.
func TestUnlistedStream(t *testing.T) {
	v := view(t, `<recording><participant id="C"><aor>1</aor><send>A</send></participant><participant id="G"><aor>2</aor><send>B</send></participant><stream id="A"><label>1</label></stream></recording>`)
	if got := Assign(Input{Lines: lines("1", "2"), View: v}); len(got[1].Parties) != 1 || got[1].Parties[0].ID != "G" {
		t.Errorf("parties: %+v", got[1].Parties)
	}
	if got := Assign(Input{Lines: lines("1", "2", "3"), View: v}); len(got[1].Parties)+len(got[2].Parties) != 0 {
		t.Errorf("two lines without a stream: %+v", got)
	}
}

// Evidence is shown to people and written to logs: it names nobody.
func TestEvidenceHidesCallers(t *testing.T) {
	for _, in := range []Input{
		{Lines: lines("1", "2"), View: view(t, two(broadworks("+15550100121", "termCall"))), Headers: headers{"From": {"<sip:+15550100121@as>"}}},
		{Lines: lines("1", "2"), View: view(t, two("")), Rules: Rules{Agents: Match{Numbers: []string{"+15550100121"}}}},
		{Lines: lines("1", "2"), View: view(t, two(broadworks("x", "origCall")))},
		{Lines: lines(""), Fork: &ciscobib.Fork{Near: true, Address: "+15550100121"}},
	} {
		for _, v := range Assign(in) {
			if strings.Contains(fmt.Sprint(v.Speaker), "5550100") {
				t.Errorf("a number shows in %+v", v.Speaker)
			}
		}
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"80*", "8012", true}, {"80*", "9080", false}, {"*", "", true}, {"*.example.com", "a.example.com", true}, {"a*b*c", "axxbyyc", true},
		{"a*b*c", "acb", false}, {"4711", "4711", true}, {"4711", "47110", false}, {"a*a", "a", false}, {"AB", "ab", true},
	} {
		if glob(c.pattern, c.s) != c.want {
			t.Errorf("glob(%q, %q) = %v", c.pattern, c.s, !c.want)
		}
	}
}

func TestValidate(t *testing.T) {
	good := Rules{Labels: map[string]adapter.Role{"1": adapter.RoleOther}, Lines: []adapter.Role{"", adapter.RoleEndUser}, Agents: Match{Extensions: Lengths{3, 5}}, AgentFrom: []string{"From"}, Direction: Inbound}
	if err := good.Validate(); err != nil {
		t.Errorf("Validate = %v", err)
	}
	for want, r := range map[string]Rules{
		"labels.1":             {Labels: map[string]adapter.Role{"1": "agent"}},
		"lines[1]":             {Lines: []adapter.Role{"", "x"}},
		"agents.extensions":    {Agents: Match{Extensions: Lengths{Max: 4}}},
		"customers.extensions": {Customers: Match{Extensions: Lengths{5, 4}}},
		"agent_from":           {AgentFrom: []string{""}},
		"direction":            {Direction: "both"},
	} {
		if err := r.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("Validate = %v; want %s", err, want)
		}
	}
}

// FuzzAssign asks for any metadata: every line gets one voice with a role, evidence and
// an ID of its own, and the same again when asked again.
func FuzzAssign(f *testing.F) {
	f.Add([]byte(two("")), "1", "2", "", "x", 0)
	f.Add([]byte(two(broadworks("+15550100121", "termCall"))), "1", "1", "2", "<sip:+15550100121@h>", 1)
	f.Add([]byte(`<recording><stream id="A"><mode>mixed</mode></stream><participant id="P"/><participant id="Q"/></recording>`), "", "", "", "", 0)
	f.Fuzz(func(t *testing.T, metadata []byte, a, b, c, from string, before int) {
		d, _ := siprec.ParseMetadata(metadata)
		var v siprec.View
		v.Apply(d)
		all := lines(a, b, c)
		for n := range len(all) + 1 {
			in := Input{Lines: all[:n], View: &v, Headers: headers{"From": {from}, "X": {a}}, Before: before & 1,
				Rules: Rules{AgentFrom: []string{"X"}, Agents: Match{Numbers: []string{from}}}}
			got := Assign(in)
			ids := map[string]bool{}
			for i, voice := range got {
				s := voice.Speaker
				if voice.Index != i || s.ID == "" || ids[s.ID] || s.Evidence == "" || s.Role != adapter.RoleEndUser && s.Role != adapter.RoleHumanAgent && s.Role != adapter.RoleOther || voice.Mixed && n > 1 {
					t.Errorf("line %d of %d: %+v", i, n, voice)
				}
				ids[s.ID] = true
			}
			if len(got) != n || !reflect.DeepEqual(got, Assign(in)) {
				t.Errorf("%d voices for %d lines, or others when asked again", len(got), n)
			}
		}
	})
}
