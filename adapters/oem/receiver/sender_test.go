package receiver

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// This binary is also the sender of BenchmarkNetwork, in a process of its own: these name
// the ports that it sends to, and how many packets.
const (
	senderPorts = "PATCHBAY_RTP_PORTS"
	senderCount = "PATCHBAY_RTP_COUNT"
)

// startSender starts a sender of n packets, which the caller waits for.
func startSender(b *testing.B, ports []int, n int) *exec.Cmd {
	b.Helper()
	var names []string
	for _, port := range ports {
		names = append(names, strconv.Itoa(port))
	}
	cmd := exec.CommandContext(b.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), senderPorts+"="+strings.Join(names, ","), senderCount+"="+strconv.Itoa(n))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	return cmd
}

// send sends packets of 20 ms to all ports at their real pace, a few each millisecond.
func send(ports []string) {
	n, _ := strconv.Atoi(os.Getenv(senderCount))
	var conns []net.Conn
	for _, port := range ports {
		c, err := net.Dial("udp", "127.0.0.1:"+port)
		if err != nil {
			fmt.Fprintln(os.Stderr, "the sender: ", err)
			os.Exit(1)
		}
		conns = append(conns, c)
	}
	packet := make([]byte, 172)
	packet[0] = 0x80
	burst, began := max(1, len(conns)/20), time.Now()
	for i := range n {
		if i%burst == 0 {
			time.Sleep(time.Until(began.Add(time.Duration(i/burst) * time.Millisecond)))
		}
		round := i / len(conns)
		packet[2], packet[3] = byte(round>>8), byte(round)
		ts := uint32(round * 160)
		packet[4], packet[5], packet[6], packet[7] = byte(ts>>24), byte(ts>>16), byte(ts>>8), byte(ts)
		_, _ = conns[i%len(conns)].Write(packet)
	}
}
