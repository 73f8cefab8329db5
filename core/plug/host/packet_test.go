package host_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/plug/host"
	"github.com/patchbay/patchbay/core/plug/host/hosttest"
)

// playPackets answers each datagram with the number of its process, and dies of one.
func playPackets(ctx context.Context, _ actorConfig, env adapter.Env, _ adapter.Sink) error {
	if _, err := env.Listen("door_tcp"); !errors.Is(err, adapter.ErrNoListener) {
		return fmt.Errorf("Listen without an address = %w; want ErrNoListener", err)
	}
	if _, err := env.Listen("door_udp"); err == nil || errors.Is(err, adapter.ErrNoListener) {
		return fmt.Errorf("Listen for datagrams = %w; want an error", err)
	}
	c, err := env.ListenPacket("door_udp")
	if err != nil {
		return err
	}
	if _, ok := c.(*net.UDPConn); !ok {
		return fmt.Errorf("ListenPacket returned a %T", c)
	}
	if _, err := env.ListenPacket("door_udp"); err == nil {
		return errors.New("a socket could be taken twice")
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	buf := make([]byte, 64<<10)
	for {
		n, from, err := c.ReadFrom(buf)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if string(buf[:n]) == "die" {
			os.Exit(3)
		}
		if _, err := fmt.Fprintf(writer{c, from}, "%d %d", os.Getpid(), n); err != nil {
			return err
		}
	}
}

type writer struct {
	net.PacketConn
	to net.Addr
}

func (w writer) Write(b []byte) (int, error) { return w.WriteTo(b, w.to) }

// TestDatagramsWait sends datagrams to a plugin, also while it is dead.
func TestDatagramsWait(t *testing.T) {
	c := as(t, "actor", "packets")
	c.Listeners = map[string]string{"door_udp": "127.0.0.1:0"}
	p := hosttest.Start(t, c, adaptertest.NewSink())
	conn, err := net.Dial("udp", p.Addr("door_udp"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(adaptertest.Patience)); err != nil {
		t.Fatal(err)
	}
	ask := func(size int) (pid int) {
		t.Helper()
		var n int
		answer := make([]byte, 100)
		if _, err := conn.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		got, err := conn.Read(answer)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(string(answer[:got]), &pid, &n); err != nil || n != size {
			t.Fatalf("a datagram of %d bytes was answered %q (%v)", size, answer[:got], err)
		}
		return pid
	}
	first := ask(60_000)
	dead := func() bool { s := p.Status(); return s.State != host.StateReady || s.PID != first }
	if _, err := conn.Write([]byte("die")); err != nil {
		t.Fatal(err)
	}
	for {
		changed := p.Changed()
		if dead() {
			break
		}
		<-changed
	}
	if second := ask(100); second == first {
		t.Errorf("process %d answered after its death", first)
	}
}

// TestNetworksShareAPort binds one port for both networks.
func TestNetworksShareAPort(t *testing.T) {
	first, err := host.New(host.Config{Listeners: map[string]string{"sip_udp": "127.0.0.1:0"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	address := first.Status().Addresses["sip_udp"]
	second, err := host.New(host.Config{Listeners: map[string]string{"sip_tcp": address}}, nil)
	if err != nil {
		t.Fatalf("the TCP port beside %s: %v", address, err)
	}
	second.Close()
	third, err := host.New(host.Config{Listeners: map[string]string{"door_udp": address}}, nil)
	if ps, ok := errors.AsType[adapter.Problems](err); !ok || ps[0].Key != "listen.door_udp" {
		t.Errorf("New = %v, %v; want a problem with listen.door_udp", third, err)
	}
}
