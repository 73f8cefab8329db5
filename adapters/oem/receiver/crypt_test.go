package receiver

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/srtp/v3"
)

// sealer seals what a rig sends.
type sealer struct {
	t testing.TB
	c *srtp.Context
}

func newSealer(t testing.TB, suite Suite, k MasterKey, roc uint32, ssrc uint32) *sealer {
	var options []srtp.ContextOption
	if k.MKI != nil {
		options = append(options, srtp.MasterKeyIndicator(k.MKI))
	}
	c, err := srtp.CreateContext(k.Key, k.Salt, profiles[suite], options...)
	if err != nil {
		t.Fatal(err)
	}
	if roc > 0 {
		c.SetROC(ssrc, roc)
	}
	return &sealer{t, c}
}

func (s *sealer) seal(packet []byte) []byte {
	b, err := s.c.EncryptRTP(nil, packet, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// talk is rig.talk, sealed.
func (s *sealer) talk(r *rig, n int) {
	for range n {
		r.give(s.seal(r.packet(0, r.seq, r.ts, block(int(r.seq)))))
		r.skip(1)
		r.sleep(frame20)
	}
}

func newKey(t testing.TB, s Suite) MasterKey {
	t.Helper()
	k, err := s.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func secured(suite Suite, sender ...MasterKey) Media {
	m := agreed()
	own, _ := suite.NewKey()
	m.Keys = &Keys{Suite: suite, Sender: sender, Own: own}
	return m
}

func TestSuites(t *testing.T) {
	for _, suite := range Suites() {
		t.Run(string(suite), func(t *testing.T) {
			key, salt, ok := suite.Lengths()
			k := newKey(t, suite)
			if !ok || len(k.Key) != key || len(k.Salt) != salt {
				t.Fatalf("key of %d and salt of %d bytes; want %d, %d", len(k.Key), len(k.Salt), key, salt)
			}
			r := newRig(t)
			m := secured(suite, k)
			r.accept(m)
			r.seq = 65530 // rolls over
			s := newSealer(t, suite, k, 0, 0)
			s.talk(r, 20)
			again := s.seal(r.packet(0, r.seq, r.ts, block(1)))
			r.skip(1)
			r.give(again)
			r.give(again)
			broken := bytes.Clone(s.seal(r.packet(0, r.seq, r.ts, block(2))))
			broken[len(broken)-1] ^= 1
			r.give(broken)
			r.give(broken[:14])
			r.give(r.packet(0, r.seq, r.ts, block(3)))

			sr, _ := rtcp.Marshal([]rtcp.Packet{&rtcp.SenderReport{SSRC: r.ssrc, NTPTime: 1 << 40}})
			sealed, err := s.c.EncryptRTCP(nil, sr, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.m.control(sealed, sender, r.now)
			r.m.control(sr, sender, r.now)
			r.now = r.m.deadline()
			report, _ := r.m.report(r.now)
			open, err := srtp.CreateContext(m.Keys.Own.Key, m.Keys.Own.Salt, profiles[suite])
			if err != nil {
				t.Fatal(err)
			}
			if report, err = open.DecryptRTCP(nil, report, nil); err != nil {
				t.Errorf("our report does not open with our own key: %v", err)
			} else if _, err := rtcp.Unmarshal(report); err != nil {
				t.Error(err)
			}
			r.end()

			if got := r.out.only(t); got.length() != 21*160 || got.gaps != nil {
				t.Errorf("%d samples, gaps %v", got.length(), got.gaps)
			}
			for i, f := range r.out.segments[0].frames[:20] {
				if !bytes.Equal(f.Payload, block(int(uint16(65530+i)))) {
					t.Errorf("frame %d is not what was sent", i)
				}
			}
			got := r.m.account()
			if got.BadAuth != 3 || got.Duplicates != 1 || got.Malformed != 1 || got.Reports != 1 || !got.Secured || r.out.dropped(DroppedDuplicate) != 160 {
				t.Errorf("stats %+v, %d samples duplicate", got, r.out.dropped(DroppedDuplicate))
			}
		})
	}
}

// TestNewKeys changes the keys while packets are on their way.
func TestNewKeys(t *testing.T) {
	for name, roc := range map[string]uint32{"the count of roll-overs begins anew": 0, "it goes on": 1, "it goes on, and rolls over": 2} {
		t.Run(name, func(t *testing.T) {
			const suite = AES128CMSHA1_80
			old, fresh := newKey(t, suite), newKey(t, suite)
			r := newRig(t)
			r.accept(secured(suite, old))
			r.seq = 65530
			before := newSealer(t, suite, old, 0, 0)
			before.talk(r, 20) // rolls over once
			if roc == 2 {
				r.seq -= 20
				r.sleep(10 * time.Second)
				for r.seq > 30000 { // silently to the end of the count
					r.seq -= 200
				}
			}
			inFlight := [][]byte{}
			for range 3 {
				inFlight = append(inFlight, before.seal(r.packet(0, r.seq, r.ts, block(int(r.seq)))))
				r.skip(1)
			}
			r.accept(secured(suite, fresh))
			r.accept(secured(suite, fresh)) // and a refresh
			after := newSealer(t, suite, fresh, roc, r.ssrc)
			first := after.seal(r.packet(0, r.seq, r.ts, block(int(r.seq))))
			r.skip(1)
			r.give(first) // overtakes them
			for _, b := range inFlight {
				r.give(b)
			}
			after.talk(r, 20)
			r.end()
			if got := r.m.account(); got.BadAuth != 0 || got.Lost != 0 || got.Delivered != 44 {
				t.Errorf("stats %+v", got)
			}
			r.sleep(keepKeys + time.Second)
		})
	}
}

func TestOldKeysAreForgotten(t *testing.T) {
	const suite = AEADAES128GCM
	old, fresh := newKey(t, suite), newKey(t, suite)
	r := newRig(t)
	r.accept(secured(suite, old))
	before := newSealer(t, suite, old, 0, 0)
	before.talk(r, 5)
	r.accept(secured(suite, fresh))
	newSealer(t, suite, fresh, 0, 0).talk(r, 5)
	r.sleep(keepKeys + 2*DefaultReport)
	before.talk(r, 1)
	if got := r.m.account(); got.BadAuth != 1 {
		t.Errorf("stats %+v; want one packet that no key opens", got)
	}
}

func TestMKI(t *testing.T) {
	for _, suite := range []Suite{AES128CMSHA1_80, AEADAES256GCM} {
		a, b, c := newKey(t, suite), newKey(t, suite), newKey(t, suite)
		a.MKI, b.MKI, c.MKI = []byte{0, 1}, []byte{0, 2}, []byte{0, 3}
		r := newRig(t)
		r.accept(secured(suite, a, b))
		newSealer(t, suite, a, 0, 0).talk(r, 5)
		newSealer(t, suite, b, 0, 0).talk(r, 5)
		newSealer(t, suite, c, 0, 0).talk(r, 5)
		r.end()
		if got := r.m.account(); got.Delivered != 10 || got.BadAuth != 5 {
			t.Errorf("%s: stats %+v", suite, got)
		}
	}
}

func TestOptional(t *testing.T) {
	const suite = AES128CMSHA1_80
	k := newKey(t, suite)
	m := secured(suite, k)
	m.Optional = true
	t.Run("plain", func(t *testing.T) {
		r := newRig(t)
		r.accept(m)
		r.talk(10)
		r.due()
		r.end()
		if got := r.m.account(); got.Delivered != 10 || got.Plain != 10 || got.Secured {
			t.Errorf("stats %+v", got)
		}
	})
	t.Run("sealed, then plain", func(t *testing.T) {
		r := newRig(t)
		r.accept(m)
		newSealer(t, suite, k, 0, 0).talk(r, 10)
		r.talk(5)
		r.end()
		if got := r.m.account(); got.Delivered != 10 || got.BadAuth != 5 || !got.Secured {
			t.Errorf("stats %+v", got)
		}
	})
}

func TestBadKeys(t *testing.T) {
	k := newKey(t, AES128CMSHA1_80)
	for name, keys := range map[string]*Keys{
		"no suite":       {Sender: []MasterKey{k}, Own: k},
		"no key":         {Suite: AES128CMSHA1_80, Own: k},
		"another length": {Suite: AEADAES256GCM, Sender: []MasterKey{k}, Own: k},
		"no own key":     {Suite: AES128CMSHA1_80, Sender: []MasterKey{k}},
		"the same MKI":   {Suite: AES128CMSHA1_80, Sender: []MasterKey{k, k}, Own: k},
	} {
		r := newRig(t)
		m := agreed()
		m.Keys = keys
		if err := r.m.accept(m, r.now); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestKeysDoNotPrint(t *testing.T) {
	k := MasterKey{Key: []byte("secretsecretsecr"), Salt: []byte("saltsaltsaltsa")}
	m := Media{Keys: &Keys{Suite: AES128CMSHA1_80, Sender: []MasterKey{k}, Own: k}}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", k, "keys", m.Keys, "more", *m.Keys)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", k, "keys", m.Keys)
	for _, text := range []string{log.String(), fmt.Sprintf("%v %+v %#v %s", k, k, k, k), fmt.Sprintf("%v %+v %#v", m, m, *m.Keys), fmt.Sprint(m.Keys.Sender)} {
		for _, secret := range []string{"secret", "salt", "115 101 99", "c2Vjc", "0x73"} {
			if strings.Contains(text, secret) {
				t.Errorf("a key shows in %q", text)
			}
		}
	}
}

func FuzzSRTP(f *testing.F) {
	k := MasterKey{Key: []byte("secretsecretsecr"), Salt: []byte("saltsaltsaltsa")}
	good := newSealer(f, AES128CMSHA1_80, k, 0, 0)
	r := newRig(f)
	f.Add(good.seal(r.packet(0, 105, 5800, block(5))), true)
	f.Add([]byte{0x80, 0, 0, 105, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 1, 2, 3}, false)
	f.Fuzz(func(t *testing.T, b []byte, optional bool) {
		r := newRig(t)
		m := secured(AES128CMSHA1_80, k)
		m.Optional = optional
		r.accept(m)
		s := newSealer(t, AES128CMSHA1_80, k, 0, 0)
		s.talk(r, 5)
		r.give(b)
		r.m.control(b, sender, r.now)
		s.talk(r, 5)
		r.end()
		if got := r.out.only(t); len(got.frames) < 10 || len(got.frames) > 11 {
			t.Errorf("%d frames; want the 10 that were sealed, and what the seed sealed", len(got.frames))
		}
	})
}
