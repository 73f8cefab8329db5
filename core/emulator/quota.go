package emulator

import (
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// quota counts what one project spends.
type quota struct {
	starts, chirp window
	bidi          int
}

// window holds the times of the last starts, at most as many as are allowed.
type window []time.Time

// full reports whether all n of the window that ends now are spent.
func (w *window) full(n int, length time.Duration) bool {
	t := now()
	for len(*w) > 0 && t.Sub((*w)[0]) >= length {
		*w = (*w)[1:]
	}
	return len(*w) >= n
}

// spend charges a stream or an AnalyzeContent to its project's quota
// (agent-assist.md §2, quotas).
func (s *Server) spend(project, model string) error {
	if !s.cfg.Quotas {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q, l := s.quotaOf(project), s.cfg.Limits
	length := s.cfg.real(l.Window)
	if q.starts.full(l.StreamStarts, length) {
		return exhausted("stream-starts", "%d StreamingAnalyzeContent and AnalyzeContent requests in %v for project %s", l.StreamStarts, l.Window, project)
	}
	if model == chirpModel && q.chirp.full(l.ChirpStarts, length) {
		return exhausted("chirp-starts", "%d new %s streams in %v for project %s", l.ChirpStarts, chirpModel, l.Window, project)
	}
	q.starts = append(q.starts, now())
	if model == chirpModel {
		q.chirp = append(q.chirp, now())
	}
	return nil
}

// enterBidi claims one of the concurrent bidirectional streams; leave gives it back.
func (s *Server) enterBidi(project string) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.quotaOf(project)
	if s.cfg.Quotas && q.bidi >= s.cfg.Limits.BidiStreams {
		return nil, exhausted("bidi-streams", "%d concurrent BidiStreamingAnalyzeContent sessions for project %s", s.cfg.Limits.BidiStreams, project)
	}
	q.bidi++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		q.bidi--
	}, nil
}

// quotaOf returns a project's quota. s.mu is held.
func (s *Server) quotaOf(project string) *quota {
	q := s.quotas[project]
	if q == nil {
		q = &quota{}
		s.quotas[project] = q
	}
	return q
}

// exhausted is the error of a quota, which it names as errors of rules do.
func exhausted(quota, format string, args ...any) error {
	return status.Errorf(codes.ResourceExhausted, "quota exceeded: "+format+" [quota "+quota+"]", args...)
}
