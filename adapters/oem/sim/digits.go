package sim

import (
	"encoding/binary"
	"strings"
	"time"

	"github.com/pion/rtp"
)

// digitSender sends telephone events (RFC 4733): 100 ms a digit, its end three times.
type digitSender struct {
	payload uint8 // 0: none was agreed
	clock   int
	queue   []byte
	at      int    // packets of the digit that have gone
	time    uint32 // RTP time of its start
	rest    int    // slots of audio before the next
}

const (
	digitLength = 100 * time.Millisecond
	digitPause  = 100 * time.Millisecond
)

func (d *digitSender) busy() bool {
	if d.rest > 0 {
		d.rest--
		return false
	}
	return len(d.queue) > 0 && d.payload != 0
}

// next sends the next packet of the digit that is being sent, all with its start's time.
func (d *digitSender) next(s *stream) {
	event := strings.IndexByte("0123456789*#ABCD", d.queue[0])
	if event < 0 {
		d.queue = d.queue[1:]
		return
	}
	if d.at == 0 {
		d.time = s.time
	}
	d.at++
	length := time.Duration(d.at) * s.Ptime
	body := []byte{byte(event), 10, 0, 0}
	binary.BigEndian.PutUint16(body[2:], uint16(int(min(length, digitLength)/time.Millisecond)*d.clock/1000))
	copies := 1
	if length >= digitLength {
		body[1] |= 0x80
		copies = 3
	}
	for range copies {
		s.write(s.seal(rtp.Header{Version: 2, PayloadType: d.payload, Marker: d.at == 1, Timestamp: d.time}, body))
	}
	if copies == 3 {
		d.queue, d.at, d.rest = d.queue[1:], 0, int(digitPause/s.Ptime)
	}
}
