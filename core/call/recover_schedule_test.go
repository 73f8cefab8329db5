package call

import "testing/synctest"

// crash kills the host, and starts a successor with what it left on its disk. What was
// in memory alone is gone.
func (s *schedule) crash(parties []*party) {
	s.crashes++
	synctest.Wait() // nobody writes now
	dir := s.host.crash(s.t, s.dir)
	tracks := written(s.t, dir)
	for _, p := range parties {
		var end int64
		newest := 0
		for number, l := range tracks {
			if l.name == string(p.track) && number > newest {
				newest, end = number, max(l.end, l.settled)
			}
		}
		for n, at := range p.at {
			p.gone[n] = at+160 > end
		}
		clear(p.at)
		p.tape = end
	}
	s.dir = dir
	s.host = s.host.successor(s.t, dir, 1, s.config)
}
