package receiver

import (
	"io"
	"log/slog"
	"testing"

	"github.com/pion/rtp"
)

// What was sent before a hold or the end is heard, however soon they follow: here before
// any reader has looked.
func TestLastPackets(t *testing.T) {
	for name, over := range map[string]func(*Stream) error{
		"hold": func(s *Stream) error {
			held := local(loopback)
			held.Receive = false
			return s.Accept(held)
		},
		"end": func(s *Stream) error {
			s.Close()
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := New(Config{Bind: loopback}, slog.New(slog.NewTextHandler(io.Discard, nil)), func(string) {})
			if err != nil {
				t.Fatal(err)
			}
			out := newLive()
			s, err := r.Open(out)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Accept(local(loopback)); err != nil {
				t.Fatal(err)
			}
			conn := dial(t, loopback, s.Port())
			for n := range 40 {
				if n == 20 { // the source is known by now
					for range 20 {
						out.next(t)
					}
					s.mu.Lock() // the reader waits
				}
				b, err := (&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(n), Timestamp: uint32(160 * n), SSRC: 1}, Payload: block(n)}).Marshal()
				if err != nil {
					t.Fatal(err)
				}
				if _, err := conn.Write(b); err != nil {
					t.Fatal(err)
				}
			}
			s.mu.Unlock()
			if err := over(s); err != nil {
				t.Fatal(err)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			if st := s.Stats(); st.Delivered != 40 || st.Held+st.Lost > 0 {
				t.Errorf("%+v; want 40 packets, all of them delivered", st)
			}
		})
	}
}
