package sim

import (
	"fmt"
	"strconv"
	"time"
)

// Messages renders the requests of a dialect with invented values, for tests of those who
// read them: the INVITE of each dialog, and what the story sends after it.
func Messages(name string) ([][]byte, error) {
	d := findDialect(name)
	if d == nil {
		return nil, fmt.Errorf("%w: no dialect %q", ErrOptions, name)
	}
	templates, err := d.templates()
	if err != nil {
		return nil, err
	}
	var list [][]byte
	for n, plan := range d.dialogs {
		p := page{
			Target: "sip:recorder@192.0.2.1", To: "sip:recorder@192.0.2.1", FromTag: "one", CallID: fmt.Sprintf("%d@192.0.2.2", n), Host: "192.0.2.2:5060", IP: "192.0.2.2", Now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC),
			Transport: "tcp", Customer: "+15550100001", Agent: "+15550100002", Caller: "+15550100001", Called: "+15550100002", Expires: 1800,
			Phase: plan.phase, Seed: "seed", Version: 1, Session: 1,
		}
		for i, s := range plan.streams {
			x := section{Index: i, Label: s.label, Port: strconv.Itoa(40000 + 4*i), Profile: "RTP/AVP", Formats: "0 101", Attributes: "a=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000\na=ptime:20\n", Speaker: s.who.String(), Direction: "sendonly"}
			if s.label == "#" {
				x.Label = p.Number(fmt.Sprint("label", i), 8)
			}
			if d.direction == "-" {
				x.Direction = ""
			}
			p.Tracks = append(p.Tracks, x)
		}
		for i, s := range append([]step{{method: "INVITE", form: "invite"}}, plan.story...) {
			p.Method, p.CSeq = s.method, i+1
			p.Via = fmt.Sprintf("SIP/2.0/TCP 192.0.2.2:5060;branch=z9hG4bK%d", i)
			if s.phase != "" {
				p.Phase = s.phase
			}
			form := s.form
			if form == "" {
				form = "invite"
			}
			b, err := render(templates, form, p)
			if err != nil {
				return nil, err
			}
			if i == 0 {
				p.Same = repeated(b)
				p.ToTag = ";tag=two"
			}
			list = append(list, b)
		}
	}
	return list, nil
}
