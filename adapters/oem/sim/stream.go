package sim

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"github.com/patchbay/patchbay/adapters/internal/pace"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

// stream is one section of a dialog's description: the RTP that this client sends for it.
type stream struct {
	*call
	label string
	who   Speaker
	track media.TrackID
	key   []byte // of SRTP: master key and salt

	mu      sync.Mutex
	pair    *pair
	to      target
	player  *pace.Player
	slots   int // packets that the player may send
	running bool

	out, in *srtp.Context // in: what the server sends, by its own key
	payload uint8
	kind    payloadType
	encoder encoder
	voice   voice
	block   int     // next of the voice
	rest    []int16 // of the last block
	over    bool    // the voice ended

	ssrc     uint32
	sequence uint16
	time     uint32 // RTP time of the next packet
	talking  bool   // the last slot held audio
	digits   digitSender
	noise    *rand.Rand
	held     []delayed // packets that others overtake

	frames, samples, lost int64
	missing               int64 // lost since the last packet that went out
	packets, octets       uint32
	reports               int
}

// delayed is a packet that waits until so many others have gone.
type delayed struct {
	packet []byte
	after  int
}

func (c *call) newStream(label string, who Speaker, track media.TrackID) (*stream, error) {
	s := &stream{
		call: c, label: label, who: who, track: track,
		noise: rand.New(rand.NewPCG(uint64(c.number), uint64(who))), ssrc: rand.Uint32(), sequence: uint16(rand.Uint32()), time: rand.Uint32(),
	}
	var err error
	if s.pair, err = bindPair(c.mediaIP, 0, s.heard); err != nil {
		return nil, err
	}
	if c.SRTP != "" {
		if s.key, err = newKey(c.SRTP); err != nil {
			return nil, err
		}
		if s.out, err = newContext(c.SRTP, s.key); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// target is where the server wants a stream's packets, and what they should hold.
type target struct {
	rtp, rtcp  netip.AddrPort
	payload    uint8
	kind       payloadType
	events     uint8 // payload type of telephone events; 0 for none
	eventClock int
	key        []byte // of the server's own SRTCP
}

// aimAt reads an accepted section: its first codec counts.
func aimAt(m mediaLine) (t target, err error) {
	t.rtp = netip.AddrPortFrom(m.addr, uint16(m.port))
	t.rtcp = netip.AddrPortFrom(m.addr, uint16(m.port+1))
	if m.rtcp != 0 {
		t.rtcp = netip.AddrPortFrom(m.addr, uint16(m.rtcp))
	}
	for _, pt := range m.formats {
		kind, ok := m.codec(pt)
		n, err := strconv.Atoi(pt)
		switch {
		case !ok || err != nil:
		case kind.Rate > 0 && t.kind.Rate == 0:
			t.payload, t.kind = uint8(n), kind
		case kind.Name == "telephone-event" && t.events == 0:
			t.events, t.eventClock = uint8(n), kind.Clock
		}
	}
	if t.kind.Rate == 0 {
		return t, fmt.Errorf("%w: none of the payloads %v is known", ErrCodec, m.formats)
	}
	if len(m.crypto) > 0 {
		t.key = m.crypto[0].key
	}
	return t, nil
}

// aim takes what an answer said of the stream: where to send, and what.
func (s *stream) aim(t target) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.payload != s.payload || s.encoder == nil || t.kind.Name != s.kind.Name {
		e, err := newEncoder(t.kind, s.who, s.Ptime)
		if err != nil {
			return err
		}
		audio := s.Audio
		if strings.EqualFold(t.kind.Name, "opus") && !audio.coded {
			audio = Tones(OpusWords[Customer], OpusWords[Agent]) // its length alone matters
		}
		v, err := audio.open(t.kind.Rate, s.number, s.who)
		if err != nil {
			return err
		}
		s.encoder, s.voice, s.rest = e, v, nil
		s.payload, s.kind = t.payload, t.kind
	}
	s.to = t
	s.digits.payload, s.digits.clock = t.events, t.eventClock
	s.in = nil
	if len(t.key) > 0 {
		in, err := newContext(s.SRTP, t.key)
		if err != nil {
			return err
		}
		s.in = in
	}
	return nil
}

// start plays the stream for a time; 0 is until its voice ends.
func (s *stream) start(length time.Duration) {
	s.slots = int(length / s.Ptime)
	s.player = s.pacer.Add(s.play)
}

// setSending says whether audio goes out; the RTP clock runs on.
func (s *stream) setSending(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != on {
		s.flush()
	}
	s.running = on
}

// dial sends digits as telephone events as soon as there is a slot.
func (s *stream) dial(digits string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.digits.queue = append(s.digits.queue, digits...)
}

// play sends the packet of a slot, and reports whether more follow.
func (s *stream) play(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.slots > 0 && n >= s.slots {
		s.flush()
		return false
	}
	s.report(n)
	advance := uint32(s.kind.Clock * int(s.Ptime/time.Millisecond) / 1000)
	defer func() { s.time += advance }()
	if !s.running {
		s.talking = false
		return true
	}
	if s.digits.busy() {
		s.digits.next(s)
		s.talking = false
		return true
	}
	samples, ok := s.draw()
	if !ok {
		s.over = true
		return true
	}
	s.packet(s.encoder.encode(nil, samples), len(samples))
	return true
}

// draw takes the samples of one packet from the voice.
func (s *stream) draw() ([]int16, bool) {
	want := s.kind.Rate * int(s.Ptime/time.Millisecond) / 1000
	for len(s.rest) < want {
		more, ok := s.voice(s.rest, s.block)
		if !ok {
			return nil, false
		}
		s.rest = more
		s.block++
	}
	samples := s.rest[:want:want]
	s.rest = append([]int16(nil), s.rest[want:]...)
	return samples, true
}

// packet sends audio through the bad network that was asked for.
func (s *stream) packet(payload []byte, samples int) {
	b := s.seal(rtp.Header{Version: 2, PayloadType: s.payload, Marker: !s.talking, Timestamp: s.time}, payload)
	s.talking = true
	if s.frames > 0 && s.noise.Float64() < s.Loss {
		s.missing += int64(samples)
		return
	}
	s.frames++
	s.samples += int64(samples)
	s.lost, s.missing = s.lost+s.missing, 0
	if s.Reorder > 0 && s.noise.Float64() < reorderShare {
		s.held = append(s.held, delayed{b, 1 + s.noise.IntN(s.Reorder)})
		return
	}
	s.write(b)
	if s.noise.Float64() < s.Duplicate {
		s.write(b)
	}
	s.overtake()
}

// reorderShare is how many packets are overtaken.
const reorderShare = 0.1

// overtake lets the packets go that enough others have overtaken.
func (s *stream) overtake() {
	kept := s.held[:0]
	for _, d := range s.held {
		if d.after--; d.after <= 0 {
			s.write(d.packet)
			continue
		}
		kept = append(kept, d)
	}
	s.held = kept
}

func (s *stream) flush() {
	for _, d := range s.held {
		s.write(d.packet)
	}
	s.held = nil
}

// seal makes a packet, encrypted where the call is, and counts it for reports.
func (s *stream) seal(h rtp.Header, payload []byte) []byte {
	h.SSRC, h.SequenceNumber = s.ssrc, s.sequence
	s.sequence++
	s.packets++
	s.octets += uint32(len(payload))
	p := rtp.Packet{Header: h, Payload: payload}
	b, err := p.Marshal()
	if err == nil && s.out != nil {
		b, err = s.out.EncryptRTP(nil, b, nil)
	}
	if err != nil {
		s.fail(fmt.Errorf("label %s: %w", s.label, err))
	}
	return b
}

func (s *stream) write(b []byte) {
	if len(b) == 0 {
		return
	}
	if err := s.pair.writeRTP(b, s.to.rtp); err != nil {
		s.fail(fmt.Errorf("label %s: %w", s.label, err))
	}
}

// finish waits for the end of the player, says goodbye by RTCP and frees the ports.
func (s *stream) finish() {
	if s.player != nil {
		s.player.Halt()
	}
	s.mu.Lock()
	if s.player != nil && s.to.rtcp.IsValid() {
		s.writeReport(&rtcp.ReceiverReport{SSRC: s.ssrc}, &rtcp.Goodbye{Sources: []uint32{s.ssrc}})
	}
	p := s.pair
	s.mu.Unlock()
	p.close()
}

// relocate binds the ports two above, as Metaswitch does with every re-INVITE.
func (s *stream) relocate() error {
	s.mu.Lock()
	old := s.pair
	s.mu.Unlock()
	next, err := bindPair(s.mediaIP, old.port+2, s.heard)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.flush()
	s.pair = next
	s.mu.Unlock()
	old.close()
	return nil
}

func (s *stream) port() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pair.port
}

func (s *stream) sent() adapter.SimTrack {
	s.mu.Lock()
	defer s.mu.Unlock()
	return adapter.SimTrack{Track: s.track, Frames: s.frames, Samples: s.samples, Lost: s.lost}
}

// reported is how many receiver reports came.
func (s *stream) reported() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reports
}
