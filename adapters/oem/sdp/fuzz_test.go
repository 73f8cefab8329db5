package sdp

import (
	"slices"
	"testing"

	pion "github.com/pion/sdp/v3"
)

// FuzzParse answers whatever can be read: the answer has the offer's lines, reads back,
// reads with another reader, sends nothing, and answers the same offer the same again.
func FuzzParse(f *testing.F) {
	f.Add(offer())
	f.Add(offer("m=video 7000 RTP/AVP 99", "a=rtpmap:99 H264/90000", "m=message 7002 TCP/MSRP *", "m=audio 0 RTP/AVP 0"))
	f.Add(text("v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "m=audio 4000 RTP/AVP 8 3", "a=sendonly"))
	f.Add(text("v=0", "c=IN IP4 192.0.2.9", "m=audio 6004 RTP/SAVP 0 111", "a=rtpmap:111 opus/48000/2", "a=rtcp:7 IN IP4 192.0.2.3",
		"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"+inline+"|2^20|1:4", "a=ptime:20", "a=rtcp-mux"))
	f.Add(text("v=0", "c=IN IP6 ::", "m=audio 6004/2 RTP/AVP 0 19", "a=rtpmap:19 CN/8000", "--boundary"))
	f.Fuzz(func(t *testing.T, in []byte) {
		d, err := Parse(in)
		if err != nil {
			if Code(err) != 400 {
				t.Errorf("Parse = %v", err)
			}
			return
		}
		c := choices()
		c.PlainKeys = true
		a, err := Answer(d, nil, c)
		if err != nil {
			if Code(err) != 488 {
				t.Errorf("Answer = %v", err)
			}
			return
		}
		back, err := Parse(a.Body)
		if err != nil || len(back.Sections) != len(d.Sections) || len(back.Odd) > 0 {
			t.Fatalf("the answer reads as %d lines of %d, %q: %v\n%s", len(back.Sections), len(d.Sections), back.Odd, err, a.Body)
		}
		for i, s := range back.Sections {
			st := a.Streams[i]
			if s.Label != st.Label && st.Accepted || (s.Port != 0) != st.Accepted || st.Accepted && s.Direction != RecvOnly && s.Direction != Inactive {
				t.Errorf("line %d reads as %+v\n%s", i, s, a.Body)
			}
			if st.Accepted && len(s.Payloads) > 3 {
				t.Errorf("line %d has %d payloads", i, len(s.Payloads))
			}
		}
		// What is refused is echoed as it came, and the other reader knows few kinds.
		var other pion.SessionDescription
		strange := slices.ContainsFunc(a.Streams, func(s Stream) bool {
			return !s.Accepted && (s.Kind != "audio" || !profiles[s.protocol])
		})
		if err := other.Unmarshal(a.Body); err != nil && !strange {
			t.Errorf("pion/sdp: %v\n%q", err, a.Body)
		}
		again, err := Answer(d, a, c)
		if err != nil || again.Version != a.Version || len(Changes(a, again)) > 0 {
			t.Errorf("answered again: %v %v %v", again, Changes(a, again), err)
		}
	})
}
