package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// bucket of a histogram: how many took at most so many seconds.
type bucket struct{ bound, count float64 }

// handoverMetric is patchbay's own measure of its delay: from the arrival of a chunk's
// last frame in the plugin until gRPC has taken the chunk.
const handoverMetric = "patchbay_handover_seconds_bucket"

// handovers asks a host for its histogram.
func handovers(metrics string) ([]bucket, error) {
	client := &http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	res, err := client.Get(metrics)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", metrics, res.Status)
	}
	return parseBuckets(res.Body)
}

// parseBuckets reads the histogram out of the Prometheus text format.
func parseBuckets(r io.Reader) (out []bucket, err error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), handoverMetric+`{le="`)
		if !ok {
			continue
		}
		bound, count, _ := strings.Cut(rest, `"} `)
		var b bucket
		if b.bound, err = strconv.ParseFloat(bound, 64); err == nil {
			b.count, err = strconv.ParseFloat(count, 64)
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", lines.Text(), err)
		}
		out = append(out, b)
	}
	slices.SortFunc(out, func(a, b bucket) int { return cmp.Compare(a.bound, b.bound) })
	return out, lines.Err()
}

// quantile returns the delay that a share of what came between two readings did not
// exceed, in milliseconds: on a line between the bounds of its bucket, the highest
// bound for what is beyond. NaN when nothing came.
func quantile(before, after []bucket, share float64) float64 {
	if len(before) != len(after) || len(after) == 0 {
		return math.NaN()
	}
	since := func(i int) float64 { return after[i].count - before[i].count }
	want := share * since(len(after)-1)
	if want == 0 {
		return math.NaN()
	}
	low, below := 0.0, 0.0
	for i, b := range after {
		n := since(i)
		if n >= want && !math.IsInf(b.bound, 1) {
			return 1000 * (low + (b.bound-low)*(want-below)/max(1, n-below))
		}
		if !math.IsInf(b.bound, 1) {
			low, below = b.bound, n
		}
	}
	return 1000 * low
}
