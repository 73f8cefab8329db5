package sim

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write adapters/oem/testdata/sipp anew")

const scenarioFolder = "../testdata/sipp"

// TestScenarios keeps the SIPp scenarios of adapters/oem and the dialects the same: SIPp is
// another client with its own SIP and RTP, and says what the dialects say.
func TestScenarios(t *testing.T) {
	for _, d := range dialects {
		for n := range d.dialogs {
			name := d.name
			if len(d.dialogs) > 1 {
				name += fmt.Sprint("-", n+1)
			}
			path := filepath.Join(scenarioFolder, name+".xml")
			want, err := scenario(d, n)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.MkdirAll(scenarioFolder, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v; go test ./adapters/oem/sim -run TestScenarios -update writes it", err)
			}
			if string(got) != want {
				t.Errorf("%s is not what the dialect sends; go test ./adapters/oem/sim -run TestScenarios -update writes it", path)
			}
		}
	}
}

// A scenario's call begins with PAUSE_BEFORE of silence and speaks for PAUSE_SPEECH between
// its steps; both, and what speaks (AUDIO, MUTE, UNMUTE), are filled in by whoever runs it.
// The second voice is somebody else's to send: SIPp knows one audio port a call. Its port
// goes to a pipe.
const (
	scenarioHead = `<?xml version="1.0" encoding="ISO-8859-1" ?>
<!DOCTYPE scenario SYSTEM "sipp.dtd">
<!-- %s. Written by adapters/oem/sim (TestScenarios -update) from its dialect;
     adapters/oem runs it and fills in AUDIO, MUTE, UNMUTE and PIPE. -->
<scenario name="%s">
`
	scenarioTrying = `  <recv response="100" optional="true"/>
`
	scenarioAck = `  <send><![CDATA[

ACK [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
%sTo: <sip:recorder@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: %d ACK
%sContent-Length: %s

%s]]></send>
`
	scenarioEnd = `  <pause milliseconds="SPEECH"/>
  <send retrans="500"><![CDATA[

BYE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
%sTo: <sip:recorder@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: %d BYE
Content-Length: 0

]]></send>
  <recv response="200"/>
</scenario>
`
)

// scenario writes one dialog of a dialect for SIPp.
func scenario(d *dialect, n int) (string, error) {
	templates, err := d.templates()
	if err != nil {
		return "", err
	}
	plan := d.dialogs[n]
	p := scenarioPage(d, plan)
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, scenarioHead, d.about, d.name)
	sent := append([]step{{method: "INVITE"}}, plan.story...)
	for i, s := range sent {
		if s.lossy {
			continue
		}
		p.Method, p.CSeq = s.method, p.CSeq+1
		if s.phase != "" {
			p.Phase = s.phase
		}
		form := s.form
		if form == "" {
			form = "invite"
		}
		if i > 0 {
			b.WriteString("  <pause milliseconds=\"SPEECH\"/>\n")
			p.ToTag = "[peer_tag_param]"
			p.Target = "[next_url]"
		}
		if s.do == hold {
			b.WriteString("  <nop><action><exec MUTE/></action></nop>\n  <pause milliseconds=\"60\"/>\n")
		}
		for k := range p.Tracks {
			p.hold(d, k, s.do == hold || plan.held && i == 0)
		}
		if s.do != unchanged {
			p.Version++
		}
		text, err := draft(templates, form, p)
		if err != nil {
			return "", err
		}
		_, _ = fmt.Fprintf(&b, "  <send retrans=\"500\"><![CDATA[\n\n%s]]></send>\n%s", strings.ReplaceAll(text, "LENGTH", "[len]"), scenarioTrying)
		if i == 0 {
			p.Same = repeated([]byte(strings.ReplaceAll(text, "\n", "\r\n")))
			b.WriteString(received(d, p))
		} else {
			b.WriteString("  <recv response=\"200\"/>\n")
		}
		if s.method == "INVITE" {
			kind, length, body := "", "0", ""
			if d.delayed {
				sdp, err := renderBody(templates, "sdp", p)
				if err != nil {
					return "", err
				}
				kind, length, body = "Content-Type: application/sdp\n", "[len]", strings.ReplaceAll(string(sdp), "\r", "")
			}
			_, _ = fmt.Fprintf(&b, scenarioAck, p.Same, p.CSeq, kind, length, body)
		}
		switch {
		case i == 0 && !plan.held, plan.held && s.do == resume:
			b.WriteString("  <nop><action><exec AUDIO/></action></nop>\n")
			if len(p.Tracks) > 1 {
				b.WriteString("  <nop><action><exec command=\"echo [call_number] [$second] > PIPE\"/></action></nop>\n")
			}
		case s.do == resume:
			b.WriteString("  <nop><action><exec UNMUTE/></action></nop>\n")
		}
	}
	_, _ = fmt.Fprintf(&b, scenarioEnd, p.Same, p.CSeq+1)
	return b.String(), nil
}

// received is what SIPp makes sure of in the answer: a port for each voice, and its label.
func received(d *dialect, p page) string {
	b := "  <recv response=\"200\" rrs=\"true\">\n    <action>\n      <ereg regexp=\"[+]sip[.]srs\" search_in=\"hdr\" header=\"Contact:\" check_it=\"true\" assign_to=\"srs\"/>\n"
	used := "srs"
	for i, s := range p.Tracks {
		if s.Label != "" {
			b += fmt.Sprintf("      <ereg regexp=\"a=label:%s\" search_in=\"body\" check_it=\"true\" assign_to=\"label%d\"/>\n", s.Label, i)
			used += fmt.Sprintf(",label%d", i)
		}
	}
	if len(p.Tracks) > 1 {
		b += "      <ereg regexp=\"m=audio [0-9]+ .*m=audio ([1-9][0-9]*) \" search_in=\"body\" check_it=\"true\" assign_to=\"both,second\"/>\n"
		used += ",both"
	}
	return b + "    </action>\n  </recv>\n  <Reference variables=\"" + used + "\"/>\n"
}

func scenarioPage(d *dialect, plan dialogPlan) page {
	p := page{
		Target: "sip:recorder@[remote_ip]:[remote_port]", To: "sip:recorder@[remote_ip]:[remote_port]", FromTag: "[pid]SIPpTag00[call_number]", CallID: "[call_id]",
		Via:  "SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
		Host: "[local_ip]:[local_port]", IP: "[local_ip]", Transport: "[transport]",
		Customer: "+15550100001", Agent: "+15550100002", Caller: "+15550100001", Called: "+15550100002", Phase: plan.phase, Seed: "scenario", Version: 0, Session: 1,
		Now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC),
	}
	if !d.noTimer {
		p.Expires = 1800
	}
	o := &dialog{call: &call{engine: &engine{dialect: d}}, plan: plan}
	o.Ptime, o.seed = blockTime, p.Seed
	formats := o.formats()
	for i, s := range plan.streams {
		p.Tracks = append(p.Tracks, section{
			Index: i, Label: o.label(i, s), Port: []string{"[media_port]", "[media_port+2]"}[i], Profile: "RTP/AVP", Formats: strings.Trim(fmt.Sprint(formats), "[]"),
			Attributes: o.attributes(nil, formats), Speaker: s.who.String(),
		})
	}
	p.Version = 1
	return p
}

// hold sets the direction of a section.
func (p *page) hold(d *dialect, k int, held bool) {
	p.Zero = held && d.zeroHold
	p.Tracks[k].Direction = "sendonly"
	switch {
	case d.direction == "-" && (!held || d.zeroHold):
		p.Tracks[k].Direction = ""
	case held:
		p.Tracks[k].Direction = "inactive"
	}
}
