package sim

import (
	"fmt"
	"time"

	"github.com/pion/rtcp"
)

const (
	firstReport    = 500 * time.Millisecond
	reportInterval = 5 * time.Second
)

// report sends a sender report when one is due.
func (s *stream) report(n int) {
	every, first := max(1, int(reportInterval/s.Ptime)), int(firstReport/s.Ptime)
	if n%every != first || !s.to.rtcp.IsValid() {
		return
	}
	s.writeReport(&rtcp.SenderReport{SSRC: s.ssrc, NTPTime: ntpTime(time.Now()), RTPTime: s.time, PacketCount: s.packets, OctetCount: s.octets},
		&rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{Source: s.ssrc, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: s.label + "@sim"}}}}})
}

func (s *stream) writeReport(packets ...rtcp.Packet) {
	b, err := rtcp.Marshal(packets)
	if err == nil && s.out != nil {
		b, err = s.out.EncryptRTCP(nil, b, nil)
	}
	if err == nil {
		err = s.pair.writeRTCP(b, s.to.rtcp)
	}
	if err != nil {
		s.fail(fmt.Errorf("label %s: report: %w", s.label, err))
	}
}

// ntpTime is a time in NTP's 64 bits.
func ntpTime(t time.Time) uint64 {
	const since1900 = 2208988800
	return uint64(t.Unix()+since1900)<<32 | uint64(t.Nanosecond())<<32/1e9
}

// heard takes what came on the RTCP port.
func (s *stream) heard(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.in != nil {
		clear, err := s.in.DecryptRTCP(nil, b, nil)
		if err != nil {
			s.observe(s.name(), StepError, fmt.Sprintf("label %s: an RTCP packet that cannot be decrypted: %v", s.label, err))
			return
		}
		b = clear
	}
	packets, err := rtcp.Unmarshal(b)
	if err != nil {
		s.observe(s.name(), StepError, fmt.Sprintf("label %s: an unreadable RTCP packet: %v", s.label, err))
		return
	}
	for _, p := range packets {
		var blocks []rtcp.ReceptionReport
		switch p := p.(type) {
		case *rtcp.ReceiverReport:
			blocks = p.Reports
		case *rtcp.SenderReport:
			blocks = p.Reports
		}
		for _, r := range blocks {
			if r.SSRC == s.ssrc {
				s.reports++
			}
		}
	}
}
