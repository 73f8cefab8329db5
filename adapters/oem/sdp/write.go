package sdp

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// write opens the missing ports, writes the text, and raises the version if it is a new
// one.
func (a *Agreement) write(previous *Agreement, c Choices) error {
	for i := range a.Streams {
		st := &a.Streams[i]
		if !st.Accepted || st.Port != 0 {
			continue
		}
		if c.Port == nil {
			return errors.New("sdp: no way to open a port (Choices.Port)")
		}
		port, err := c.Port(st.Index)
		if err != nil {
			return err
		}
		st.Port = port
	}
	a.Body = a.text(c)
	if previous != nil && !bytes.Equal(a.Body, previous.Body) {
		a.Version++
		a.Body = a.text(c)
	}
	return nil
}

func (a *Agreement) text(c Choices) []byte {
	var b bytes.Buffer
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(&b, format+"\r\n", args...) }
	family, host := "IP4", c.Address
	if host.Is6() {
		family = "IP6"
	}
	if !host.IsValid() {
		host = netip.IPv4Unspecified()
	}
	line("v=0")
	line("o=patchbay %d %d IN %s %s", a.Session, a.Version, family, host)
	line("s=-")
	line("c=IN %s %s", family, host)
	line("t=0 0")
	for i := range a.Streams {
		a.Streams[i].write(line)
	}
	return b.Bytes()
}

// write writes the lines of one stream.
func (st *Stream) write(line func(string, ...any)) {
	if !st.Accepted {
		line("m=%s 0 %s %s", orElse(st.Kind, "audio"), orElse(st.protocol, "RTP/AVP"), orElse(strings.Join(st.formats, " "), "0"))
		return
	}
	list := st.written()
	types := make([]string, len(list))
	for i, p := range list {
		types[i] = fmt.Sprint(p.Type)
	}
	line("m=audio %d %s %s", st.Port, st.protocol, strings.Join(types, " "))
	if st.Label != "" {
		line("a=label:%s", st.Label)
	}
	for _, p := range list {
		if p.Codec == "" {
			continue // a type that nobody explained
		}
		channels := ""
		if p.Channels > 1 {
			channels = fmt.Sprintf("/%d", p.Channels)
		}
		name, _, _ := strings.Cut(string(p.Codec), "/")
		line("a=rtpmap:%d %s/%d%s", p.Type, name, p.Clock, channels)
		if p.Codec == Event {
			line("a=fmtp:%d 0-15", p.Type)
		}
	}
	if st.Ptime > 0 {
		line("a=ptime:%d", st.Ptime.Milliseconds())
	}
	if st.Receive {
		line("a=recvonly")
	} else {
		line("a=inactive")
	}
	if st.Mux {
		line("a=rtcp-mux")
	}
	if st.Ours != nil {
		line("%s", st.Ours.line())
	}
}

// written lists the payloads that our description names: the codec, the events at its
// clock, and comfort noise.
func (st *Stream) written() []Payload {
	if st.formats == nil {
		return st.Payloads // of an offer of ours
	}
	list := []Payload{st.Codec}
	var event *Payload
	for i, p := range st.Payloads {
		if p.Codec == Event && (event == nil || event.Clock != st.Codec.Clock && p.Clock == st.Codec.Clock) {
			event = &st.Payloads[i]
		}
	}
	if event != nil {
		list = append(list, *event)
	}
	if i := slices.IndexFunc(st.Payloads, func(p Payload) bool { return p.Codec == Noise }); i >= 0 && st.Codec.Clock == st.Payloads[i].Clock {
		list = append(list, st.Payloads[i])
	}
	return list
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// Redact returns a description without the keys in it, for logs.
func Redact(text []byte) string {
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		trimmed := strings.TrimLeft(line, " \t")
		if i := strings.Index(strings.ToLower(line), "inline:"); i >= 0 || len(trimmed) > 8 && strings.EqualFold(trimmed[:8], "a=crypto") {
			b.WriteString("a=crypto:" + hidden + "\r\n")
			continue
		}
		b.WriteString(line)
	}
	return b.String()
}
