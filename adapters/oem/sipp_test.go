//go:build linux

package oem

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/patchbay/patchbay/adapters/oem/sim"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

// SIPp is an independent client: its own SIP, and RTP of its own for the first voice. The
// scenarios in testdata/sipp are the dialects of package sim, which keeps them up to date.

const (
	sippBlocks  = 40  // coded blocks that a voice says
	firstVoice  = 100 // coded streams of the two voices
	secondVoice = 101
)

// sippProgram finds SIPp, or ends the test.
func sippProgram(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("sipp")
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("sipp is not installed; it is in Debian's package sip-tester")
	}
	t.Skip("sipp is not installed; it is in Debian's package sip-tester")
	return ""
}

// sippRun is one SIPp with a scenario.
type sippRun struct {
	scenario, transport string
	captured            bool // send a capture (play_pcap_audio), not a file (rtp_stream)
	calls, mediaPort    int
	speech              time.Duration // for the 800 ms of audio; default 2 s, since machines are busy
}

// sipp runs a scenario to its end.
func (r *rig) sipp(program string, run sippRun) {
	r.Helper()
	dir := r.TempDir()
	text, err := os.ReadFile(filepath.Join("testdata", "sipp", run.scenario+".xml"))
	if err != nil {
		r.Error(err)
		return
	}
	pipe := filepath.Join(dir, "ports")
	stop, err := secondVoices(pipe)
	if err != nil {
		r.Error(err)
		return
	}
	defer stop()
	writeVoice(r.T, dir)
	script := string(text)
	speaking := strings.Count(script, "SPEECH") - strings.Count(script, "exec MUTE")
	if before, _, _ := strings.Cut(script, "exec AUDIO"); strings.Contains(before, "SPEECH") {
		speaking-- // it begins held
	}
	audio, mute, unmute := `rtp_stream="voice.ulaw,1,0"`, `rtp_stream="pause"`, `rtp_stream="resume"`
	if run.captured {
		audio = `play_pcap_audio="voice.pcap"`
	}
	script = strings.NewReplacer("exec AUDIO", "exec "+audio, "exec UNMUTE", "exec "+unmute, "exec MUTE", "exec "+mute,
		"PIPE", pipe, "SPEECH", strconv.FormatInt(cmp.Or(run.speech, 2*time.Second).Milliseconds()/int64(speaking), 10)).Replace(script)
	if err := os.WriteFile(filepath.Join(dir, "scenario.xml"), []byte(script), 0o600); err != nil {
		r.Error(err)
		return
	}
	to := r.env.Addr(map[string]string{"u1": listenerUDP, "t1": listenerTCP}[run.transport])
	n := strconv.Itoa(run.calls)
	ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, to, "-sf", "scenario.xml", "-t", run.transport, "-i", "127.0.0.1", "-mi", "127.0.0.1", "-mp", strconv.Itoa(run.mediaPort),
		"-m", n, "-l", n, "-r", n, "-nostdin", "-trace_err", "-error_file", "errors.log", "-timeout", "50s")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		problems, _ := os.ReadFile(filepath.Join(dir, "errors.log"))
		r.Errorf("%s over %s: %v\n%s\n%s", run.scenario, run.transport, err, lastLines(problems, 30), lastLines(out, 45))
	}
}

func lastLines(b []byte, n int) string {
	lines := strings.Split(string(b), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// coded are the blocks of a voice.
func coded(stream uint16) []byte {
	var b []byte
	for n := range uint32(sippBlocks) {
		b = probe.AppendBlock(b, stream, n)
	}
	return b
}

// writeVoice writes the first voice in both forms that SIPp sends: bare mu-law, and a
// capture of RTP over Ethernet.
func writeVoice(t *testing.T, dir string) {
	t.Helper()
	voice := coded(firstVoice)
	if err := os.WriteFile(filepath.Join(dir, "voice.ulaw"), voice, 0o600); err != nil {
		t.Error(err)
	}
	capture := binary.LittleEndian.AppendUint32(nil, 0xA1B2C3D4)
	capture = append(capture, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 1, 0, 0, 0) // version 2.4, 64 kB, Ethernet
	for n := range sippBlocks {
		payload := rtpPacket(0x51, uint16(n), voice[n*probe.BlockSamples:(n+1)*probe.BlockSamples])
		udp := binary.BigEndian.AppendUint16(nil, 6000)
		udp = binary.BigEndian.AppendUint16(udp, 6000)
		udp = binary.BigEndian.AppendUint16(udp, uint16(8+len(payload)))
		udp = append(append(udp, 0, 0), payload...)
		frame := append(make([]byte, 12), 8, 0, 0x45, 0)
		frame = binary.BigEndian.AppendUint16(frame, uint16(20+len(udp)))
		frame = append(frame, 0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1)
		frame = append(frame, udp...)
		at := time.Duration(n) * 20 * time.Millisecond
		capture = binary.LittleEndian.AppendUint32(capture, uint32(at/time.Second))
		capture = binary.LittleEndian.AppendUint32(capture, uint32(at%time.Second/time.Microsecond))
		capture = binary.LittleEndian.AppendUint32(capture, uint32(len(frame)))
		capture = binary.LittleEndian.AppendUint32(capture, uint32(len(frame)))
		capture = append(capture, frame...)
	}
	if err := os.WriteFile(filepath.Join(dir, "voice.pcap"), capture, 0o600); err != nil {
		t.Error(err)
	}
}

func rtpPacket(ssrc uint32, n uint16, payload []byte) []byte {
	p := rtp.Packet{Header: rtp.Header{Version: 2, SSRC: ssrc, SequenceNumber: 1000 + n, Timestamp: uint32(n) * probe.BlockSamples, Marker: n == 0}, Payload: payload}
	b, err := p.Marshal()
	if err != nil {
		panic(err) // it has no part that could be wrong
	}
	return b
}

// secondVoices sends the second voice of every call whose port comes through a pipe: SIPp
// knows one audio port a call.
func secondVoices(pipe string) (stop func(), err error) {
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(pipe, os.O_RDWR, os.ModeNamedPipe)
	if err != nil {
		return nil, err
	}
	var all sync.WaitGroup
	all.Go(func() {
		for lines := bufio.NewScanner(f); lines.Scan(); {
			call, port, _ := strings.Cut(lines.Text(), " ")
			all.Go(func() { speak(call, port) })
		}
	})
	return func() {
		_ = f.Close() // ends the scanner
		all.Wait()
	}, nil
}

// speak sends the second voice to a port.
func speak(call, port string) {
	c, err := net.Dial("udp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return
	}
	defer c.Close()
	number, _ := strconv.Atoi(call)
	voice := coded(secondVoice)
	begun := time.Now()
	for n := range sippBlocks {
		_, _ = c.Write(rtpPacket(uint32(1000+number), uint16(n), voice[n*probe.BlockSamples:(n+1)*probe.BlockSamples])) // what is missing shows
		<-time.After(time.Until(begun.Add(time.Duration(n+1) * 20 * time.Millisecond)))
	}
}

// voiceOn is which voice a track heard, and how many of its blocks.
func voiceOn(l *adaptertest.Leg, id media.TrackID) (voice uint16, blocks int) {
	h := hear(l, id)
	for s := range h.streams {
		voice = s
	}
	if len(h.streams) != 1 {
		voice = 0
	}
	return voice, int(h.blocks)
}

// sippTracks are the tracks of each scenario in the order of the voices.
func sippTracks(t *testing.T, scenario string) []media.TrackID {
	t.Helper()
	switch scenario {
	case "cucm-1":
		return []media.TrackID{"near"}
	case "cucm-2":
		return []media.TrackID{"far"}
	}
	text, err := os.ReadFile(filepath.Join("testdata", "sipp", scenario+".xml"))
	if err != nil {
		t.Fatal(err)
	}
	invite, _, _ := strings.Cut(string(text), "</send>")
	var list []media.TrackID
	for i, section := range strings.Split(invite, "m=audio ")[1:] {
		id := media.TrackID(fmt.Sprint("line-", i+1))
		if _, label, ok := strings.Cut(section, "a=label:"); ok {
			label, _, _ = strings.Cut(label, "\n")
			id = media.TrackID(label)
		}
		list = append(list, id)
	}
	return list
}

// TestSIPp runs every scenario over UDP and TCP, with both ways of sending: on each track
// its own voice is heard, whole.
func TestSIPp(t *testing.T) {
	program := sippProgram(t)
	files, err := filepath.Glob("testdata/sipp/*.xml")
	if err != nil || len(files) < len(sim.Dialects()) {
		t.Fatalf("%d scenarios, %v; want one of each dialect at least", len(files), err)
	}
	for i, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".xml")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			pauses := bytes.Contains(text, []byte("exec MUTE")) // which a capture cannot
			capture := !pauses && os.Geteuid() == 0             // and it needs raw sockets
			runs := []sippRun{{transport: "u1"}, {transport: "t1", captured: capture}}
			var rigs []*rig
			var both sync.WaitGroup
			for k := range runs {
				runs[k].scenario, runs[k].calls, runs[k].mediaPort = name, 1, 30000+8*(2*i+k)
				rigs = append(rigs, newRig(t, nil))
			}
			for k := range runs {
				both.Go(func() { rigs[k].sipp(program, runs[k]) })
			}
			both.Wait()
			for k, r := range rigs {
				r.wantVoices(runs[k], r.sink.Legs())
			}
		})
	}
}

// wantVoices checks what the legs of a run heard.
func (r *rig) wantVoices(run sippRun, legs []*adaptertest.Leg) {
	r.Helper()
	if len(legs) != run.calls {
		r.Errorf("%s over %s: %d legs; want %d", run.scenario, run.transport, len(legs), run.calls)
	}
	for _, l := range legs {
		l.WaitClosed(r)
		for n, id := range sippTracks(r.T, run.scenario) {
			if voice, blocks := voiceOn(l, id); voice != uint16(firstVoice+n) || blocks != sippBlocks {
				r.Errorf("%s over %s: leg %s, track %s heard %d blocks of voice %d; want %d of %d; %s",
					run.scenario, run.transport, l.Info().LegKey, id, blocks, voice, sippBlocks, firstVoice+n, heardOf([]*adaptertest.Leg{l}))
			}
		}
	}
}

// TestSIPpPairs: the two calls of a recorded call are legs of one, whoever comes first.
func TestSIPpPairs(t *testing.T) {
	program := sippProgram(t)
	for i, name := range []string{"cucm", "five9-sip"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			var both sync.WaitGroup
			for k, end := range []string{"-1", "-2"} {
				both.Go(func() {
					r.sipp(program, sippRun{scenario: name + end, transport: "u1", calls: 1, mediaPort: 31000 + 8*(2*i+k)})
				})
			}
			both.Wait()
			calls := r.sink.Calls()
			if len(calls) != 1 || len(r.sink.Legs()) != 2 {
				t.Errorf("%d legs are %d calls; want 2 and 1", len(r.sink.Legs()), len(calls))
			}
		})
	}
}

// TestSIPpFiftyAtOnce: nothing is lost or crossed, and nothing is left behind.
func TestSIPpFiftyAtOnce(t *testing.T) {
	program := sippProgram(t)
	for k, c := range []sippRun{{scenario: "google", transport: "u1"}, {scenario: "sems", transport: "t1"}} {
		t.Run(c.scenario+" "+c.transport, func(t *testing.T) {
			r := newRig(t, func(cfg *Config) { cfg.Media.Idle = adapter.Duration(time.Minute) })
			r.simulate("--duration", "100ms") // so that all is open that stays so
			r.sink.WaitLeg(t, 0).WaitClosed(t)
			before := descriptors(t)
			c.calls, c.mediaPort, c.speech = 50, 32000+400*k, 6*time.Second
			r.sipp(program, c)
			r.wantVoices(c, r.sink.Legs()[1:])
			for tick, late := time.NewTicker(10*time.Millisecond), time.After(patience); descriptors(t) > before; {
				select {
				case <-tick.C:
				case <-late:
					t.Fatalf("%d descriptors are open; before there were %d", descriptors(t), before)
				}
			}
		})
	}
}

// descriptors counts this process's open files and sockets.
func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
