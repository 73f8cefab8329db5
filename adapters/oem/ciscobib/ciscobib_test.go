package ciscobib

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

const near = `<sip:4723@198.51.100.130;x-nearend;x-refci=27298698;x-nearendclusterid=StandAloneCluster;x-nearenddevice=SEP001122334455;x-nearendaddr=4723;x-farendrefci=27298699;x-farendclusterid=StandAloneCluster;x-farenddevice=SIP-Trunk;x-farendaddr=%2B15550100119>;tag=1`

func TestParseFrom(t *testing.T) {
	whole := Fork{Ref: "27298698", Cluster: "StandAloneCluster", Device: "SEP001122334455", Address: "4723",
		FarRef: "27298699", FarCluster: "StandAloneCluster", FarDevice: "SIP-Trunk", FarAddress: "+15550100119"}
	agent, customer := whole, whole
	agent.Near, customer.Far = true, true
	for name, c := range map[string]struct {
		from string
		want Fork
		ok   bool
	}{
		"near end":            {near, agent, true},
		"far end":             {strings.Replace(near, "x-nearend;", "x-farend;", 1), customer, true},
		"misspelt":            {strings.Replace(near, "x-nearend;", "x-farrend;", 1), customer, true},
		"other case, blanks":  {strings.ToUpper(near[:30]) + strings.Replace(near[30:], ";x-refci=", "; X-RefCI = ", 1), agent, true},
		"valueless with =":    {strings.Replace(near, "x-nearend;", "x-nearend=;", 1), agent, true},
		"display name with <": {`"A <x;x-farend>" ` + near, agent, true},
		"no closing bracket":  {strings.Replace(near, ">;tag=1", "", 1), agent, true},
		"no brackets":         {strings.NewReplacer("<", "", ">", "").Replace(near), agent, true},
		"both ends":           {strings.Replace(near, "x-nearend;", "x-nearend;x-farend;", 1), whole, true},
		"neither end":         {strings.Replace(near, "x-nearend;", "", 1), whole, true},
		"an ordinary From":    {`"Agent" <sip:4723@198.51.100.130;user=phone>;tag=1`, Fork{}, false},
		"empty":               {"", Fork{}, false},
	} {
		if got, ok := ParseFrom(c.from); got != c.want || ok != c.ok {
			t.Errorf("%s: ParseFrom = %+v, %v; want %+v, %v", name, got.Claims(), ok, c.want.Claims(), c.ok)
		}
	}
	f, _ := ParseFrom(near)
	if f.Key() != "cucm:StandAloneCluster/27298698" || f.Line() != "StandAloneCluster/SEP001122334455/4723" || (Fork{Cluster: "c"}).Key() != "" || (Fork{Cluster: "c"}).Line() != "" {
		t.Errorf("key %q, line %q", f.Key(), f.Line())
	}
	if s := fmt.Sprint(f); strings.Contains(s, "4723") || strings.Contains(s, "555") {
		t.Errorf("String shows numbers: %s", s)
	}
}

func TestParticipants(t *testing.T) {
	for name, c := range map[string]struct {
		values []string
		lines  int
		want   []Participant
	}{
		"as CUBE writes it":   {[]string{`sip:+15550100105@h;media-index="0"`, `sip:4716@h;media-index="1"`}, 2, []Participant{{"sip:+15550100105@h", 0}, {"sip:4716@h", 1}}},
		"in brackets":         {[]string{`"A;B" <sip:1@h;user=phone>; Media-Index=1`}, 2, []Participant{{"sip:1@h;user=phone", 1}}},
		"counted from one":    {[]string{`sip:1@h;media-index="1"`, `sip:2@h;media-index="2"`}, 2, []Participant{{"sip:1@h", 0}, {"sip:2@h", 1}}},
		"more than the lines": {[]string{`sip:1@h;media-index="0"`, `sip:2@h;media-index="1"`}, 1, []Participant{{"sip:1@h", 0}, {"sip:2@h", 1}}},
		"unreadable":          {[]string{`sip:1@h`, `sip:1@h;media-index="x"`, `sip:1@h;media-index="999"`, ``}, 1, nil},
		"two on a line":       {[]string{`sip:1@h;media-index="0"`, `sip:2@h;media-index="0"`}, 1, []Participant{{"sip:1@h", 0}, {"sip:2@h", 0}}},
	} {
		if got := Participants(c.values, c.lines); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: Participants = %+v; want %+v", name, got, c.want)
		}
	}
	if got := Participants(strings.Split(strings.Repeat(`sip:1@h;media-index="0"|`, 1000), "|"), 1); len(got) != maxParticipants {
		t.Errorf("%d participants; want %d", len(got), maxParticipants)
	}
}

func TestPairKey(t *testing.T) {
	for in, want := range map[string]string{" 3000-7 ": "five9:3000-7", "": "", "a b": "", "a\x01": "", strings.Repeat("x", 300): ""} {
		if got := PairKey(in); got != want {
			t.Errorf("PairKey(%q) = %q; want %q", in, got, want)
		}
	}
}

// FuzzFrom reads any From: it says one end at most, its values are text and stand in the
// input, and writing them again reads as the same.
func FuzzFrom(f *testing.F) {
	f.Add(near)
	f.Add(`<sip:a;X-FARREND;x-refci="%31%0a%">`)
	f.Add(`"\"<" <sip:a;x-refci==1;x-refci;;x-nearend=?x-farend`)
	f.Fuzz(func(t *testing.T, from string) {
		got, ok := ParseFrom(from)
		if !ok && got != (Fork{}) || got.Near && got.Far {
			t.Errorf("ParseFrom = %+v, %v", got, ok)
		}
		again := "<sip:x"
		if got.Near {
			again += ";x-nearend"
		}
		if got.Far {
			again += ";x-farend"
		}
		for name, value := range got.Claims() {
			if !utf8.ValidString(value) || len(value) > maxValue || len(value) > len(from) {
				t.Errorf("%s = %q", name, value)
			}
			again += ";" + name + "=" + escape(value)
		}
		if back, _ := ParseFrom(again + ">"); back != got {
			t.Errorf("%s reads as %+v; want %+v", again, back.Claims(), got.Claims())
		}
		for _, p := range Participants([]string{from, from + `;media-index="3"`}, 2) {
			if !utf8.ValidString(p.URI) || p.Index < 0 || p.Index > 255 {
				t.Errorf("participant %+v", p)
			}
		}
	})
}

// escape writes what would end or change a value.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; strings.IndexByte(`%;>?" <=`, c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
