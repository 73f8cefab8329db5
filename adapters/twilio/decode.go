package twilio

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
)

// event is the kind of a message.
type event string

// The events of "Media Streams – WebSocket Messages" (2026).
const (
	eventConnected event = "connected"
	eventStart     event = "start"
	eventMedia     event = "media"
	eventDTMF      event = "dtmf"
	eventMark      event = "mark"
	eventStop      event = "stop"
)

// message is any message of Twilio. Only the part that belongs to its event has
// meaning. It may be used again and again; decode resets it.
type message struct {
	Event     event  `json:"event"`
	Sequence  number `json:"sequenceNumber"`
	StreamSID text   `json:"streamSid"`

	Protocol text `json:"protocol"` // connected
	Version  text `json:"version"`

	Start start     `json:"start"`
	Media mediaPart `json:"media"`
	DTMF  struct {
		Track text `json:"track"`
		Digit text `json:"digit"`
	} `json:"dtmf"`
	Mark struct {
		Name text `json:"name"`
	} `json:"mark"`

	raw rawMedia // what scanMedia found; the strings of Media stay empty then
}

type start struct {
	StreamSID  text            `json:"streamSid"`
	AccountSID text            `json:"accountSid"`
	CallSID    text            `json:"callSid"`
	Tracks     []text          `json:"tracks"`
	Parameters map[string]text `json:"customParameters"`
	Format     *struct {
		Encoding   text   `json:"encoding"`
		SampleRate number `json:"sampleRate"`
		Channels   number `json:"channels"`
	} `json:"mediaFormat"`
}

type mediaPart struct {
	Track     text   `json:"track"`
	Chunk     number `json:"chunk"`
	Timestamp number `json:"timestamp"` // milliseconds since the stream's start
	Payload   text   `json:"payload"`   // base64
}

// rawMedia is the audio part of a message in place: slices of the message's bytes.
type rawMedia struct {
	streamSID, track, payload []byte
	sequence                  number
	chunk, timestamp          number
}

var errMessage = errors.New("no JSON object of Twilio's shape")

// decode reads one message. m.raw points into b for media.
func decode(b []byte, m *message) error {
	if scanMedia(b, &m.raw) {
		m.Event = eventMedia
		return nil
	}
	*m = message{}
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(m); err != nil {
		return errMessage
	}
	if rest := bytes.TrimLeft(b[d.InputOffset():], " \t\r\n"); len(rest) > 0 || m.Event == "" {
		return errMessage
	}
	m.raw = rawMedia{
		streamSID: []byte(m.StreamSID), track: []byte(m.Media.Track), payload: []byte(m.Media.Payload),
		sequence: m.Sequence, chunk: m.Media.Chunk, timestamp: m.Media.Timestamp,
	}
	return nil
}

// number is a counter or a time that Twilio writes as a string ("12") and
// look-alikes as a number. What cannot be read counts as absent.
type number struct {
	v  int64
	ok bool
}

func (n *number) UnmarshalJSON(b []byte) error {
	*n = number{}
	s := strings.Trim(string(b), `"`)
	if v, err := strconv.ParseInt(s, 10, 64); err == nil && v >= 0 {
		*n = number{v, true}
	} else if f, err := strconv.ParseFloat(s, 64); err == nil && f >= 0 && f < math.MaxInt32 {
		*n = number{int64(f), true}
	}
	return nil
}

// text is a string that may also come as a number or a boolean.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	*t = ""
	switch b[0] {
	case '"':
		return json.Unmarshal(b, (*string)(t))
	case 'n', '{', '[':
		return nil
	}
	*t = text(b)
	return nil
}

// scanMedia reads a media message as Twilio writes it, without allocating. It
// gives up on whatever is unusual (escapes, unknown or doubled keys, anything
// beyond ASCII), and decode then asks encoding/json; what it accepts, it reads as
// encoding/json would.
func scanMedia(b []byte, m *rawMedia) bool {
	*m = rawMedia{}
	s := scanner{b: b}
	var seen keys
	if !s.open() {
		return false
	}
	isMedia := false
	for !s.close() {
		key, ok := s.key()
		if !ok {
			return false
		}
		switch string(key) {
		case "event":
			v, ok := s.str()
			isMedia = ok && string(v) == string(eventMedia)
			if !isMedia || !seen.first(keyEvent) {
				return false
			}
		case "sequenceNumber":
			if m.sequence, ok = s.num(); !ok || !seen.first(keySequence) {
				return false
			}
		case "streamSid":
			if m.streamSID, ok = s.str(); !ok || !seen.first(keyStream) {
				return false
			}
		case "media":
			if !seen.first(keyMedia) || !s.mediaPart(m, &seen) {
				return false
			}
		default:
			return false
		}
	}
	return s.end() && isMedia && seen&keyMedia != 0
}

func (s *scanner) mediaPart(m *rawMedia, seen *keys) bool {
	if !s.open() {
		return false
	}
	for !s.close() {
		key, ok := s.key()
		if !ok {
			return false
		}
		switch string(key) {
		case "track":
			m.track, ok = s.str()
			ok = ok && seen.first(keyTrack)
		case "chunk":
			m.chunk, ok = s.num()
			ok = ok && seen.first(keyChunk)
		case "timestamp":
			m.timestamp, ok = s.num()
			ok = ok && seen.first(keyTimestamp)
		case "payload":
			m.payload, ok = s.str()
			ok = ok && seen.first(keyPayload)
		default:
			return false
		}
		if !ok {
			return false
		}
	}
	return true
}

// keys remembers which keys a message had: encoding/json merges doubled ones,
// which the scanner leaves to it.
type keys uint16

const (
	keyEvent keys = 1 << iota
	keySequence
	keyStream
	keyMedia
	keyTrack
	keyChunk
	keyTimestamp
	keyPayload
)

func (k *keys) first(key keys) bool {
	fresh := *k&key == 0
	*k |= key
	return fresh
}

// scanner walks over one JSON text. After an object's opening, key is called for
// each member, and its value read before the next.
type scanner struct {
	b     []byte
	i     int
	first bool // no member of the present object was read
}

func (s *scanner) space() {
	for s.i < len(s.b) && (s.b[s.i] == ' ' || s.b[s.i] == '\n' || s.b[s.i] == '\t' || s.b[s.i] == '\r') {
		s.i++
	}
}

func (s *scanner) take(c byte) bool {
	if s.i < len(s.b) && s.b[s.i] <= ' ' {
		s.space()
	}
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

func (s *scanner) open() bool {
	s.first = true
	return s.take('{')
}

// close reports the end of an object; then the object around it goes on.
func (s *scanner) close() bool {
	if s.take('}') {
		s.first = false
		return true
	}
	return false
}

func (s *scanner) key() ([]byte, bool) {
	if !s.first && !s.take(',') {
		return nil, false
	}
	s.first = false
	k, ok := s.str()
	return k, ok && s.take(':')
}

// str reads a string of ASCII without escapes.
func (s *scanner) str() ([]byte, bool) {
	if !s.take('"') {
		return nil, false
	}
	n := bytes.IndexByte(s.b[s.i:], '"')
	if n < 0 {
		return nil, false
	}
	v := s.b[s.i : s.i+n]
	s.i += n + 1
	return v, plain(v)
}

// plain reports whether v has no backslash, no control character and nothing
// beyond ASCII. It looks at eight bytes at a time, since most of a message is
// its payload.
func plain(v []byte) bool {
	const (
		ones  = 0x0101010101010101
		highs = 0x80 * ones
	)
	for ; len(v) >= 8; v = v[8:] {
		w := binary.LittleEndian.Uint64(v)
		slash := w ^ '\\'*ones // zero where the backslash is
		odd := w | (w-' '*ones)&^w | (slash-ones)&^slash
		if odd&highs != 0 {
			return false
		}
	}
	for _, c := range v {
		if c < ' ' || c >= 0x80 || c == '\\' {
			return false
		}
	}
	return true
}

// num reads up to 15 digits, in quotes or bare.
func (s *scanner) num() (number, bool) {
	quoted := s.take('"')
	from, v := s.i, int64(0)
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' && s.i-from < 15 {
		v = v*10 + int64(s.b[s.i]-'0')
		s.i++
	}
	n := s.i - from
	if n == 0 || !quoted && n > 1 && s.b[from] == '0' {
		return number{}, false
	}
	if quoted && (s.i == len(s.b) || s.b[s.i] != '"') {
		return number{}, false
	}
	if quoted {
		s.i++
	} else if s.i == len(s.b) || !strings.ContainsRune(",} \t\r\n", rune(s.b[s.i])) {
		return number{}, false
	}
	return number{v, true}, true
}

func (s *scanner) end() bool {
	s.space()
	return s.i == len(s.b)
}
