package api

import "github.com/prometheus/client_golang/prometheus"

var handover = prometheus.NewDesc("patchbay_handover_seconds",
	"From the arrival of a chunk's last frame until gRPC has taken the chunk, the first time it is sent.", nil, nil)

func (c *Collector) collectHandover(ch chan<- prometheus.Metric) {
	s := c.stats.Handover.Snapshot()
	ch <- prometheus.MustNewConstHistogram(handover, s.Count, s.Sum.Seconds(), s.Buckets)
}
