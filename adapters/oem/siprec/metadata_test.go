package siprec

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func parse(t *testing.T, text string) Document {
	t.Helper()
	d, err := ParseMetadata([]byte(text))
	if err != nil {
		t.Fatalf("ParseMetadata: %v\n%s", err, text)
	}
	return d
}

// Every style says the same: one session, a caller on stream A with label 1, an agent on
// stream B with label 2.
func TestDrift(t *testing.T) {
	for name, text := range map[string]string{
		"RFC 7865": `<?xml version="1.0" encoding="UTF-8"?>
<recording xmlns="urn:ietf:params:xml:ns:recording:1"><datamode>complete</datamode>
<session session_id="S"/>
<participant participant_id="C"><nameID aor="sip:+15550100101@h"><name xml:lang="en">Caller</name></nameID></participant>
<participant participant_id="G"><nameID aor="sip:4711@h"><name>Agent</name></nameID></participant>
<stream stream_id="A" session_id="S"><label>1</label></stream><stream stream_id="B" session_id="S"><label>2</label></stream>
<participantsessionassoc participant_id="C" session_id="S"/><participantsessionassoc participant_id="G" session_id="S"/>
<participantstreamassoc participant_id="C"><send>A</send><recv>B</recv></participantstreamassoc>
<participantstreamassoc participant_id="G"><send>B</send><recv>A</recv></participantstreamassoc></recording>`,
		"prefix, associations first": `<tns:recording xmlns:tns="urn:ietf:params:xml:ns:recording"><tns:dataMode>COMPLETE</tns:dataMode>
<tns:participantstreamassoc participant_id="C"><tns:send>A</tns:send><tns:recv>B</tns:recv></tns:participantstreamassoc>
<tns:participantstreamassoc participant_id="G"><tns:send>B</tns:send><tns:recv>A</tns:recv></tns:participantstreamassoc>
<tns:session session_id="S"/>
<tns:participant participant_id="C" session_id="S"><tns:nameID aor="sip:+15550100101@h"/><tns:name>Caller</tns:name></tns:participant>
<tns:participant participant_id="G" session_id="S"><tns:nameID aor="sip:4711@h"/><tns:name>Agent</tns:name></tns:participant>
<tns:stream stream_id="A" session_id="S"><tns:label>1</tns:label></tns:stream><tns:stream stream_id="B" session_id="S"><tns:label>2</tns:label></tns:stream></tns:recording>`,
		"no namespace, plain ids, send inside": "\xef\xbb\xbf\r\n\r\n" + `<recording><datamode>complete</datamode>
<session id="S"/>
<participant id="C" session="S"><nameID aor="sip:+15550100101@h"><name>Caller;lang=en;id=1</name></nameID><send>A</send><recv>B</recv></participant>
<participant id="G" session="S"><nameID aor="sip:4711@h"><name>"Agent"</name></nameID><send>B</send><recv>A</recv></participant>
<stream id="A" session="S"><label>1</label></stream><stream id="B" session="S"><label>2</label></stream></recording>`,
		"recording_metadata, nested ids": `<?xml version="1.1" encoding="ISO-8859-1"?><recording_metadata xmlns="urn:ietf:params:xml:ns:siprec"><dataMode>complete</dataMode><recording id="R"/>
<session id="S" group=""/>
<participant id="C" session="S"><aor>sip:+15550100101@h</aor><name>Caller</name><send><id>A</id></send><recv><id>B</id></recv></participant>
<participant id="G" session="S"><aor>sip:4711@h</aor><name>Agent</name><send><id>B</id></send><recv><id>A</id></recv></participant>
<stream id="A" session="S"><label>1</label></stream><stream id="B" session="S"><label>2</label></stream></recording_metadata>`,
		"children in the session, ids as elements": `<recording><session><id>S</id>
<participant><id>C</id><aor>sip:+15550100101@h</aor><name>Caller</name><send>A</send><recv>B</recv></participant>
<participant><id>G</id><aor>sip:4711@h</aor><name>Agent</name><send>B</send><recv>A</recv></participant>
<stream media_label="1"><id>A</id><label>Audio of the caller</label></stream><stream media_label="2"><id>B</id></stream></session></recording>`,
		"a document type and entities": `<!DOCTYPE recording [<!ENTITY x "y">]><recording><datamode>complete</datamode><session id="S"/>
<participant id="C" session="S"><nameID aor="sip:+15550100101@h"><name>Caller</name></nameID><send>A</send><recv>B</recv></participant>
<participant id="G" session="S"><nameID aor="sip:4711&#64;h"><name>Agent</name></nameID><send>B</send><recv>A</recv></participant>
<stream id="A" session="S"><label>1</label></stream><stream id="B" session="S"><label>2</label></stream></recording>`,
	} {
		t.Run(name, func(t *testing.T) {
			d := parse(t, text)
			want := []Participant{
				{ID: "C", Session: "S", AoR: "sip:+15550100101@h", Name: "Caller", Send: []string{"A"}, Receive: []string{"B"}},
				{ID: "G", Session: "S", AoR: "sip:4711@h", Name: "Agent", Send: []string{"B"}, Receive: []string{"A"}},
			}
			if !reflect.DeepEqual(d.Participants, want) {
				t.Errorf("participants = %+v\nwant %+v", d.Participants, want)
			}
			streams := []Stream{{ID: "A", Session: "S", Label: "1"}, {ID: "B", Session: "S", Label: "2"}}
			if !reflect.DeepEqual(d.Streams, streams) {
				t.Errorf("streams = %+v\nwant %+v", d.Streams, streams)
			}
			if len(d.Sessions) != 1 || d.Sessions[0].ID != "S" || d.Partial || len(d.Fields) > 0 {
				t.Errorf("sessions %+v, partial %v, fields %v", d.Sessions, d.Partial, d.Fields)
			}
		})
	}
}

func TestFields(t *testing.T) {
	d := parse(t, `<recording><group group_id="G"><cd:callData xmlns:cd="http://x/"><cd:gcid> 7 </cd:gcid></cd:callData></group>
<session session_id="S"><sipSessionID>ab;remote=cd</sipSessionID><extensiondata xmlns:a="http://acmepacket.com/siprec/extensiondata"><a:ucid>1;encoding=hex</a:ucid></extensiondata></session>
<participant participant_id="P"><extensiondata><apkt:callingParty>true</apkt:callingParty><apkt:header label="From"><value>&lt;sip:x&gt;</value></apkt:header></extensiondata></participant>
<extensiondata id="E" parent="R"><broadWorksRecordingMetadata version="1.0"><userID>u@h</userID><callType><origCall><callingPartyNumber>1</callingPartyNumber></origCall></callType><empty/></broadWorksRecordingMetadata></extensiondata>
<vendor>odd</vendor></recording>`)
	want := []Field{
		{"G", "callData.gcid", "7"}, {"S", "apkt.ucid", "1;encoding=hex"}, {"P", "apkt.callingParty", "true"}, {"P", "apkt.header.From", "<sip:x>"},
		{"R", "broadWorksRecordingMetadata.userID", "u@h"}, {"R", "broadWorksRecordingMetadata.callType.origCall.callingPartyNumber", "1"}, {"", "vendor", "odd"},
	}
	if !reflect.DeepEqual(d.Fields, want) {
		t.Errorf("fields = %q\nwant %q", d.Fields, want)
	}
	var v View
	v.Apply(d)
	for name, value := range map[string]string{"userid": "u@h", "origCall.callingPartyNumber": "1", "PartyNumber": "", "gcid": "7", "apkt.HEADER.from": "<sip:x>", "": ""} {
		if got := v.Field(name); got != value {
			t.Errorf("Field(%q) = %q; want %q", name, got, value)
		}
	}
	if v.FieldOf("P", "callingParty") != "true" || v.FieldOf("S", "callingParty") != "" {
		t.Error("FieldOf looks at the wrong owner")
	}
	if d.Sessions[0].SIP != "ab;remote=cd" {
		t.Errorf("sipSessionID = %q", d.Sessions[0].SIP)
	}
}

// What is broken is reported, and what stands before it is there.
func TestTrouble(t *testing.T) {
	deep := strings.Repeat("<a>", MaxDepth+10)
	for name, c := range map[string]struct {
		text    string
		streams int
	}{
		"nothing":           {"", 0},
		"words":             {"hello", 0},
		"another document":  {`<html><stream id="A"/></html>`, 1},
		"cut off":           {`<recording><stream id="A"><label>1</label></stream><stream id="B"><lab`, 2},
		"too deep":          {`<recording><stream id="A"/>` + deep, 1},
		"too many elements": {`<recording><stream id="A"/>` + strings.Repeat("<a/>", MaxElements+1), 1},
		"over 64 KB":        {`<recording><stream id="A"/>` + strings.Repeat(" ", MaxBody), 1},
	} {
		d, err := ParseMetadata([]byte(c.text))
		if !errors.Is(err, ErrMetadata) || len(d.Streams) != c.streams {
			t.Errorf("%s: %d streams, %v; want %d and ErrMetadata", name, len(d.Streams), err, c.streams)
		}
		if !d.Partial {
			t.Errorf("%s: what is broken must replace nothing", name)
		}
		if err != nil && len(err.Error()) > 300 {
			t.Errorf("%s: the error has %d bytes", name, len(err.Error()))
		}
	}
	// Entities are not expanded, however many there are.
	bomb := parse(t, `<!DOCTYPE r [<!ENTITY a "`+strings.Repeat("x", 1000)+`"><!ENTITY b "`+strings.Repeat("&a;", 1000)+`">]><recording><x>`+strings.Repeat("&b;", 10000)+`</x></recording>`)
	if len(bomb.Fields) != 1 || len(bomb.Fields[0].Value) > MaxText || strings.Contains(bomb.Fields[0].Value, "xx") {
		t.Errorf("a bomb of entities makes %d fields", len(bomb.Fields))
	}
	// A cut through a letter leaves the encoding as it is.
	cut := "<recording><stream id=\"A\"><label>ü</label></stream>"
	cut += strings.Repeat(" ", MaxBody-len(cut)-1) + "ü"
	if d, _ := ParseMetadata([]byte(cut)); d.Streams[0].Label != "ü" {
		t.Errorf("label = %q", d.Streams[0].Label)
	}
	// Text in another encoding, and characters that XML forbids.
	d := parse(t, "<recording><participant id=\"P\"><name>M\xfcller\x01</name></participant></recording>")
	if d.Participants[0].Name != "Müller" {
		t.Errorf("name = %q", d.Participants[0].Name)
	}
}

func TestViewMerges(t *testing.T) {
	var v View
	v.Apply(parse(t, `<recording><datamode>complete</datamode><session id="S"/>
<participant id="C"><aor>1</aor><send>A</send></participant><participant id="X"><aor>ASBCE@h</aor></participant>
<stream id="A"><label>1</label></stream><stream id=""><label>2</label></stream><extensiondata><k>1</k></extensiondata></recording>`))
	if s, ok := v.Labelled("2"); !ok || s.ID != "" || v.Senders(s.ID) != nil {
		t.Error("a stream without an id has nobody")
	}
	v.Apply(parse(t, `<recording><datamode>partial</datamode><session id="S"><sipSessionID>q</sipSessionID></session>
<participant id="G"><aor>2</aor><send>B</send></participant><participant id="X"><disassociate-time>2026</disassociate-time></participant>
<stream id="B"><label>2</label></stream><extensiondata><K>2</K></extensiondata></recording>`))
	d := v.Document
	if len(d.Participants) != 3 || len(d.Streams) != 2 || len(d.Sessions) != 1 || d.Sessions[0].SIP != "q" || v.Field("k") != "2" || len(d.Fields) != 1 {
		t.Errorf("after the partial document: %+v", d)
	}
	if s, _ := v.Labelled("2"); s.ID != "B" || len(v.Senders("B")) != 1 || v.Senders("A")[0].AoR != "1" || len(v.Present()) != 2 {
		t.Errorf("who sends: %+v, %+v", v.Senders("A"), v.Senders("B"))
	}
	// Who came back has not left; last wins.
	v.Apply(parse(t, `<recording><datamode>partial</datamode><participant id="X"><aor>3</aor></participant><participant id="X"><aor>4</aor></participant></recording>`))
	if p := v.Present()[1]; len(v.Present()) != 3 || p.ID != "X" || p.AoR != "4" {
		t.Errorf("present: %+v", v.Present())
	}
	v.Apply(parse(t, `<recording><stream id="Z"><label>2</label></stream></recording>`))
	if len(v.Document.Participants) != 0 || len(v.Document.Streams) != 1 || v.Field("k") != "" || v.Applied != 4 {
		t.Errorf("after the complete document: %+v", v.Document)
	}
}

// A dialog that sends new things for ever fills the view to its bounds and no further.
func TestViewBounds(t *testing.T) {
	var v View
	for i := range 500 {
		v.Apply(parse(t, fmt.Sprintf(`<recording xmlns="ns%d"><datamode>partial</datamode><group id="g%d"/><session id="s%d"/><participant id="p%d"/><stream id="t%d"/><stream id=""><label>%d</label></stream><x><k%d>%s</k%d></x></recording>`,
			i, i, i, i, i, i, i, strings.Repeat("v", 1000), i)))
	}
	bounded(t, &v)
	if v.Full == 0 || len(v.Document.Participants) != MaxParticipants {
		t.Errorf("%d participants, %d left out", len(v.Document.Participants), v.Full)
	}
}

func bounded(t *testing.T, v *View) {
	t.Helper()
	d := &v.Document
	size := 0
	for _, f := range d.Fields {
		size += len(f.Owner) + len(f.Name) + len(f.Value)
	}
	for _, p := range d.Participants {
		if len(p.Send) > maxLinks || len(p.Receive) > maxLinks {
			t.Errorf("participant with %d and %d streams", len(p.Send), len(p.Receive))
		}
	}
	if len(d.Groups) > MaxGroups || len(d.Sessions) > MaxSessions || len(d.Participants) > MaxParticipants || len(d.Streams) > MaxStreams ||
		len(d.Fields) > MaxFields || size > MaxFieldBytes || size != v.bytes || len(d.Namespaces) > maxNamespaces {
		t.Errorf("the view has grown: %v, %d bytes of fields, %d counted", v, size, v.bytes)
	}
}

// FuzzMetadata applies any documents: the view stays within its bounds, an error is
// ErrMetadata, and applying a complete document again changes nothing.
func FuzzMetadata(f *testing.F) {
	f.Add([]byte(`<recording><datamode>partial</datamode><session session_id="S"/><participant id="P"><aor>1</aor><send>A B</send></participant><stream id="A"><label>1</label></stream></recording>`), []byte(`<recording><x:y>z</x:y>`))
	f.Add([]byte("<?xml version='1.1'?><recording_metadata><participantstreamassoc participant_id=\"P\"><send><id>A</id></send></participantstreamassoc>"), []byte("\xff<a>&x;</a>"))
	f.Add([]byte(`<tns:recording xmlns:tns="u"><tns:stream tns:stream_id="1" media_label="2"/></tns:recording>`), []byte(`<!DOCTYPE a><a label="b"><value>c</value></a>`))
	var last []byte
	seeds(f, func(contentType string, body []byte) {
		if text := Split(contentType, body).Metadata; text != nil {
			f.Add(text, last)
			last = text
		}
	})
	f.Fuzz(func(t *testing.T, one, two []byte) {
		var v View
		for _, text := range [][]byte{one, two, one} {
			d, err := ParseMetadata(text)
			if err != nil && !errors.Is(err, ErrMetadata) {
				t.Errorf("ParseMetadata = %v", err)
			}
			v.Apply(d)
			bounded(t, &v)
			if d.Partial {
				continue
			}
			var again View
			again.Apply(d)
			if !reflect.DeepEqual(again.Document, v.Document) {
				t.Errorf("a complete document does not replace:\n%+v\n%+v", again.Document, v.Document)
			}
		}
		for _, s := range v.Document.Streams {
			for _, p := range v.Senders(s.ID) {
				if p.Left || s.ID == "" {
					t.Errorf("%+v sends %+v", p, s)
				}
			}
		}
	})
}
