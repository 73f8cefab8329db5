package twilio

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/twilio/twilio-go/twiml"
)

// answer writes the TwiML of the voice webhook: the stream's start, then what
// the configuration says. It is built once and used by many requests at a time.
type answer struct {
	stream twiml.VoiceStream
	then   []twiml.Element
	file   template // instead of then
}

func newAnswer(cfg Config, public publicURL) (*answer, error) {
	a := &answer{stream: twiml.VoiceStream{
		Url:            public.stream(""),
		Track:          cfg.Track,
		StatusCallback: public.webhook(pathStatus, ""),
	}}
	v := cfg.Voice
	switch {
	case v.File != "":
		var err error
		if a.file, err = readTwiML(v.File); err != nil {
			return nil, fmt.Errorf("voice.twiml_file: %w", err)
		}
	case v.Queue != "":
		a.then = []twiml.Element{twiml.VoiceEnqueue{Name: v.Queue}}
	case v.Redirect != "":
		a.then = []twiml.Element{twiml.VoiceRedirect{Url: v.Redirect}}
	default:
		dial := twiml.VoiceDial{}
		for _, n := range v.Dial {
			dial.InnerElements = append(dial.InnerElements, twiml.VoiceNumber{PhoneNumber: n})
		}
		for _, s := range v.SIP {
			dial.InnerElements = append(dial.InnerElements, twiml.VoiceSip{SipUrl: s})
		}
		a.then = []twiml.Element{dial}
	}
	return a, nil
}

// document returns the TwiML for one call. Without a token the call goes on
// without a stream.
func (a *answer) document(token string) (string, error) {
	verbs := a.then
	if token != "" {
		stream := a.stream // a copy: other requests use the original
		stream.InnerElements = []twiml.Element{twiml.VoiceParameter{Name: paramToken, Value: token}}
		verbs = append([]twiml.Element{twiml.VoiceStart{InnerElements: []twiml.Element{stream}}}, verbs...)
	}
	doc, err := twiml.Voice(verbs)
	if err != nil || a.file.head == "" {
		return doc, err
	}
	_, start, _ := strings.Cut(doc, "<Response>")
	start, _, _ = strings.Cut(start, "</Response>")
	return a.file.head + start + a.file.tail, nil
}

// template is an integrator's TwiML, cut after its <Response>.
type template struct{ head, tail string }

// splitTwiML checks that b is TwiML with at least one verb and cuts it where the
// stream's start belongs. The author's text stays as it is.
func splitTwiML(b []byte) (template, error) {
	d := xml.NewDecoder(bytes.NewReader(b))
	depth, cut, verbs := 0, 0, 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return template{}, fmt.Errorf("it is no well-formed XML: %w", err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if depth == 0 && (t.Name.Local != "Response" || cut > 0) {
				return template{}, fmt.Errorf("its root is <%s>; TwiML has one <Response>", t.Name.Local)
			}
			if depth == 0 {
				cut = int(d.InputOffset())
			}
			if depth == 1 {
				verbs++
			}
			depth++
		case xml.EndElement:
			depth--
		}
	}
	if verbs == 0 {
		return template{}, errors.New("its <Response> holds no verb, so the call would end")
	}
	return template{head: string(b[:cut]), tail: string(b[cut:])}, nil
}
