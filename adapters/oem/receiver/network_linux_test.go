package receiver

import (
	"os"
	"testing"
	"time"
)

// TestDescriptors opens and closes streams by the hundred: every descriptor comes back.
func TestDescriptors(t *testing.T) {
	open := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("descriptors cannot be counted: ", err)
		}
		return len(all)
	}
	onEach(t, Config{}, func(t *testing.T, r *Receiver) {
		before := open()
		for range 3 {
			var streams []*Stream
			for range 200 {
				s, err := r.Open(newLive())
				if err != nil {
					t.Fatal(err)
				}
				streams = append(streams, s)
			}
			if got := open(); got != before+400 {
				t.Errorf("200 streams have %d descriptors; want 400", got-before)
			}
			for _, s := range streams {
				s.Close()
			}
			if got := open(); got != before {
				t.Errorf("%d descriptors are left", got-before)
			}
		}
	})
}

// TestAlarmsDoNotStarvePackets waits while something is due and a packet is there.
func TestAlarmsDoNotStarvePackets(t *testing.T) {
	r, err := newReader()
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	rtp, port, err := listenUDP(loopback, 0)
	if err != nil {
		t.Fatal(err)
	}
	rtcp, _, err := listenUDP(loopback, 0)
	if err != nil {
		t.Fatal(err)
	}
	l := &epollLine{r: r, rtp: rtp, rtcp: rtcp, alarm: -1}
	defer l.close()
	if err := r.add(l); err != nil {
		t.Fatal(err)
	}
	if _, err := dial(t, loopback, port).Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	l.wake(time.Now().Add(-time.Second))
	if !r.wait() || r.n != 1 {
		t.Errorf("wait finds %d sockets with packets; want 1", r.n)
	}
	if got := r.due(time.Now()); got != l {
		t.Error("the alarm is gone")
	}
}
