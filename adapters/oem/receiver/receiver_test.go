package receiver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
)

var loopback = netip.MustParseAddr("127.0.0.1")

var networks = map[string]func(int) (network, error){"system": newNetwork, "plain": newPlain}

// onEach runs a test over each kind of network.
func onEach(t *testing.T, cfg Config, test func(t *testing.T, r *Receiver)) {
	for name, connect := range networks {
		t.Run(name, func(t *testing.T) {
			cfg := cfg
			if !cfg.Bind.IsValid() {
				cfg.Bind = loopback
			}
			r, err := newReceiver(cfg, slog.New(slog.NewTextHandler(io.Discard, nil)), func(string) {}, connect)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}()
			test(t, r)
		})
	}
}

// live is an Output that tells what it heard.
type live struct {
	mu     sync.Mutex
	rec    recorder
	frames chan media.Frame
}

func newLive() *live { return &live{frames: make(chan media.Frame, 1000)} }

func (l *live) Join(f media.Format, arrived time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rec.Join(f, arrived)
}

func (l *live) Write(f media.Frame) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.rec.Write(f)
	f.Payload = bytes.Clone(f.Payload)
	l.frames <- f
	return err
}

func (l *live) Note(n adapter.Note) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rec.Note(n)
}

// next returns the next frame, or fails.
func (l *live) next(t *testing.T) media.Frame {
	t.Helper()
	select {
	case f := <-l.frames:
		return f
	case <-time.After(10 * time.Second):
		t.Fatal("no frame came")
		return media.Frame{}
	}
}

// local is what streams agree on with senders on this machine.
func local(at netip.Addr) Media {
	m := agreed()
	m.Sources = []netip.Prefix{Host(at)}
	m.RTCP = netip.AddrPort{}
	return m
}

func dial(t testing.TB, at netip.Addr, port int) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(at, uint16(port))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestSockets sends a few packets, a late one among them, over real sockets, and waits for
// a report.
func TestSockets(t *testing.T) {
	for _, at := range []netip.Addr{loopback, netip.IPv6Loopback()} {
		t.Run(at.String(), func(t *testing.T) {
			if c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at, 0))); err != nil {
				t.Skip("this machine has no such address: ", err)
			} else {
				_ = c.Close()
			}
			onEach(t, Config{Bind: at, Report: 50 * time.Millisecond}, func(t *testing.T, r *Receiver) {
				out := newLive()
				s, err := r.Open(out)
				if err != nil {
					t.Fatal(err)
				}
				if s.Port()%2 != 0 {
					t.Errorf("port %d is odd", s.Port())
				}
				if err := s.Accept(local(at)); err != nil {
					t.Fatal(err)
				}
				c := dial(t, at, s.Port())
				g := newRig(t)
				for _, n := range []uint16{0, 1, 3, 2, 5, 6} { // 4 never comes
					if _, err := c.Write(g.packet(0, g.seq+n, g.ts+160*uint32(n), block(int(n)))); err != nil {
						t.Fatal(err)
					}
				}
				for i, want := range []int64{0, 1, 2, 3, 5, 6} {
					f := out.next(t)
					if f.Pos != want*160 || !bytes.Equal(f.Payload, block(int(want))) {
						t.Errorf("frame %d is at %d; want %d", i, f.Pos, want*160)
					}
				}

				control := dial(t, at, s.Port()+1)
				hello, _ := rtcp.Marshal([]rtcp.Packet{&rtcp.SenderReport{SSRC: g.ssrc, NTPTime: 0x1234567890}})
				if _, err := control.Write(hello); err != nil {
					t.Fatal(err)
				}
				_ = control.SetReadDeadline(time.Now().Add(10 * time.Second))
				buf := make([]byte, 1500)
				n, err := control.Read(buf)
				if err != nil {
					t.Fatal("no report came: ", err)
				}
				report, err := rtcp.Unmarshal(buf[:n])
				if err != nil || len(report) != 2 || report[0].(*rtcp.ReceiverReport).Reports[0].SSRC != g.ssrc {
					t.Errorf("report %v, error %v", report, err)
				}
				s.Close()
				s.Close()
				if got := s.Stats(); got.Packets != 6 || got.Lost != 1 || got.Reports != 1 || got.Err != nil || got.Sent == 0 {
					t.Errorf("stats %+v", got)
				}
				if err := s.Accept(local(at)); !errors.Is(err, ErrClosed) {
					t.Errorf("Accept after Close = %v; want %v", err, ErrClosed)
				}
			})
		})
	}
}

// TestManyStreams sends into many streams at once, and closes half of them. Something is
// always due, which must not keep packets from being read.
func TestManyStreams(t *testing.T) {
	const streams, each = 60, 40
	onEach(t, Config{Report: time.Millisecond}, func(t *testing.T, r *Receiver) {
		var senders sync.WaitGroup
		for i := range streams {
			out := newLive()
			s, err := r.Open(out)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Accept(local(loopback)); err != nil {
				t.Fatal(err)
			}
			c := dial(t, loopback, s.Port())
			senders.Go(func() {
				g := newRig(t)
				g.ssrc = uint32(i)
				for range each {
					_, _ = c.Write(g.packet(0, g.seq, g.ts, block(i)))
					g.skip(1)
				}
				for n := range each {
					select {
					case f := <-out.frames:
						if f.Pos != int64(n*160) || !bytes.Equal(f.Payload, block(i)) {
							t.Errorf("stream %d, frame %d: position %d, block %d", i, n, f.Pos, f.Payload[1])
						}
					case <-time.After(20 * time.Second):
						t.Errorf("stream %d: %d of %d frames came", i, n, each)
						return
					}
				}
				if i%2 == 0 {
					s.Close()
				}
			})
		}
		senders.Wait()
		if got := r.Streams(); got != streams/2 {
			t.Errorf("%d streams are open; want %d", got, streams/2)
		}
	})
}

// closable is an Output that knows when it may not be called any more.
type closable struct {
	deaf
	heard chan struct{} // closed after a while
	over  atomic.Bool
	late  atomic.Int64
}

func (c *closable) Write(f media.Frame) error {
	if c.frames == 50 {
		close(c.heard)
	}
	if c.over.Load() {
		c.late.Add(1)
	}
	return c.deaf.Write(f)
}

// TestCloseUnderFire closes streams while packets, signalling and questions come.
func TestCloseUnderFire(t *testing.T) {
	onEach(t, Config{Report: time.Millisecond}, func(t *testing.T, r *Receiver) {
		var all sync.WaitGroup
		for range 8 {
			out := &closable{heard: make(chan struct{})}
			s, err := r.Open(out)
			if err != nil {
				t.Fatal(err)
			}
			m := local(loopback)
			m.RTCP = netip.AddrPortFrom(loopback, uint16(s.Port())) // to itself
			if err := s.Accept(m); err != nil {
				t.Fatal(err)
			}
			c := dial(t, loopback, s.Port())
			all.Go(func() {
				g := newRig(t)
				pace := time.NewTicker(time.Millisecond)
				defer pace.Stop()
				for s.Accept(m) == nil { // until it is closed
					for range 5 {
						_, _ = c.Write(g.packet(0, g.seq, g.ts, block(1)))
						g.skip(1)
					}
					_ = s.Stats()
					<-pace.C
				}
			})
			all.Go(func() {
				<-out.heard
				s.Close()
				out.over.Store(true)
			})
			t.Cleanup(func() {
				if n := out.late.Load(); n > 0 {
					t.Errorf("%d frames came after Close", n)
				}
			})
		}
		all.Wait()
	})
}

func TestPorts(t *testing.T) {
	first := freePorts(t, 8)
	onEach(t, Config{First: first, Last: first + 7, Rest: time.Hour}, func(t *testing.T, r *Receiver) {
		taken, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: first + 3})
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		ports := map[int]bool{}
		for range 3 {
			s, err := r.Open(newLive())
			if err != nil {
				t.Fatal(err)
			}
			if p := s.Port(); p%2 != 0 || p < first || p > first+6 || ports[p] || p == first+2 {
				t.Errorf("port %d", p)
			}
			ports[s.Port()] = true
			s.Close()
		}
		if _, err := r.Open(newLive()); !errors.Is(err, ErrNoPorts) {
			t.Errorf("Open with all ports at rest = %v; want %v", err, ErrNoPorts)
		}
	})
	onEach(t, Config{First: first, Last: first + 7, Rest: -1}, func(t *testing.T, r *Receiver) {
		for range 20 {
			s, err := r.Open(newLive())
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Open(newLive()); !errors.Is(err, ErrClosed) {
			t.Errorf("Open after Close = %v; want %v", err, ErrClosed)
		}
	})
}

// freePorts returns an even port after which n ports are free.
func freePorts(t *testing.T, n int) int {
	t.Helper()
search:
	for first := 42000; first < 60000; first += 2 * n {
		for port := first; port < first+n; port++ {
			c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
			if err != nil {
				continue search
			}
			_ = c.Close()
		}
		return first
	}
	t.Fatal("no free ports")
	return 0
}

func TestConfig(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no address":      {},
		"no pair":         {Bind: loopback, First: 5001, Last: 5002},
		"backwards":       {Bind: loopback, First: 6000, Last: 5000},
		"beyond the last": {Bind: loopback, First: 65000, Last: 65536},
		"half open":       {Bind: loopback, First: 5000},
		"report storm":    {Bind: loopback, Report: 1},
		"long buffer":     {Bind: loopback, Hold: time.Second},
	} {
		if r, err := New(cfg, slog.Default(), func(string) {}); err == nil {
			t.Errorf("%s: New accepts %+v", name, cfg)
			_ = r.Close()
		}
	}
}

func ExampleStream_Port() {
	r, err := New(Config{Bind: netip.MustParseAddr("127.0.0.1")}, slog.Default(), func(string) {})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = r.Close() }()
	s, err := r.Open(newLive())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	fmt.Println(s.Port() % 2)
	// Output: 0
}
