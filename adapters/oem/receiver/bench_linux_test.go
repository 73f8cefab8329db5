package receiver

import (
	"io"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkNetwork compares one reader per core with a goroutine per socket in one run:
// 400 streams of 20 ms each at their real pace, 20,000 packets a second, over loopback.
// cpu-ns/packet is all CPU time of this process; the sender is another one.
func BenchmarkNetwork(b *testing.B) {
	const streams = 400
	cost := map[string]float64{}
	for _, k := range []struct {
		name    string
		connect func(int) (network, error)
	}{{"readers", newNetwork}, {"goroutines", newPlain}} {
		b.Run(k.name, func(b *testing.B) {
			r, err := newReceiver(Config{Bind: loopback, Readers: runtime.GOMAXPROCS(0)}, slog.New(slog.NewTextHandler(io.Discard, nil)), func(string) {}, k.connect)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = r.Close() }()
			outs, open, ports := make([]deaf, streams), make([]*Stream, streams), make([]int, streams)
			for i := range outs {
				if open[i], err = r.Open(&outs[i]); err != nil {
					b.Fatal(err)
				}
				if err := open[i].Accept(local(loopback)); err != nil {
					b.Fatal(err)
				}
				ports[i] = open[i].Port()
			}
			cpu := cpuTime(b)
			if err := startSender(b, ports, b.N).Wait(); err != nil {
				b.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond) // the last ones are on their way
			cost[k.name] = float64(cpuTime(b)-cpu) / float64(b.N)
			for _, s := range open {
				s.Close()
			}
			heard := 0
			for i := range outs {
				heard += outs[i].frames
			}
			if heard != b.N {
				b.Errorf("%d of %d packets were heard", heard, b.N)
			}
			b.ReportMetric(cost[k.name], "cpu-ns/packet")
			b.ReportMetric(0, "ns/op")
			if own := cost["readers"]; k.name == "goroutines" && own > 0 {
				b.ReportMetric(cost[k.name]/own, "times-readers")
			}
		})
	}
}

func cpuTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
