package signal

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// sessionTimer is what was agreed by RFC 4028.
type sessionTimer struct {
	interval time.Duration // 0: none
	weAre    bool          // we refresh
	peerCan  bool          // the peer knows the extension

	refresh time.Time // when we refresh
	expiry  time.Time // when the session is over
}

// negotiate reads the session interval that a request asks for; before is what holds
// until now. bad is what a 422 needs, if the interval is too short.
func (s *Server) negotiate(m *message, before sessionTimer) (t sessionTimer, bad func(*draft)) {
	can := slices.Contains(m.headers.Tokens("Supported"), "timer") || slices.Contains(m.headers.Tokens("Require"), "timer")
	t.peerCan = can
	v := m.headers.Get("Session-Expires")
	delta, _, _ := strings.Cut(v, ";")
	seconds, err := strconv.ParseUint(strings.TrimSpace(delta), 10, 31)
	if v == "" || err != nil || seconds == 0 {
		if !can { // without the extension nobody would refresh
			return t, nil
		}
		t.interval, t.weAre = before.interval, before.weAre
		if t.interval == 0 {
			t.interval = s.cfg.SessionExpires
		}
		if least := minSE(m); t.interval > 0 {
			t.interval = max(t.interval, least)
		}
		return t, nil
	}
	t.interval = time.Duration(seconds) * time.Second
	if t.interval < s.cfg.MinSessionExpires {
		if can {
			return t, func(d *draft) { d.add("Min-SE", wholeSeconds(s.cfg.MinSessionExpires)) }
		}
		t.interval = s.cfg.MinSessionExpires
	}
	refresher, _ := ParseParams(v).Get("refresher")
	t.weAre = strings.EqualFold(refresher, "uas") || !can
	return t, nil
}

func minSE(m *message) time.Duration {
	delta, _, _ := strings.Cut(m.headers.Get("Min-SE"), ";")
	n, err := strconv.ParseUint(strings.TrimSpace(delta), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

func wholeSeconds(d time.Duration) string {
	return strconv.Itoa(int((d + time.Second - 1) / time.Second))
}

// describe puts the agreement into our 2xx.
func (t sessionTimer) describe(d *draft) {
	if t.interval == 0 {
		return
	}
	who := "uac"
	if t.weAre {
		who = "uas"
	}
	d.add("Session-Expires", wholeSeconds(t.interval)+";refresher="+who)
	if t.peerCan {
		d.add("Require", "timer")
	}
}

// propose puts the agreement into a request of ours, where the sides are the other way
// round.
func (t sessionTimer) propose(d *draft) {
	if t.interval == 0 {
		return
	}
	who := "uas"
	if t.weAre {
		who = "uac"
	}
	d.add("Session-Expires", wholeSeconds(t.interval)+";refresher="+who)
}

// start begins the interval.
func (t sessionTimer) start(from time.Time) sessionTimer {
	t.refresh, t.expiry = time.Time{}, time.Time{}
	if t.interval == 0 {
		return t
	}
	t.expiry = from.Add(t.interval - min(32*time.Second, t.interval/3)) // RFC 4028 §10
	if t.weAre {
		t.refresh = from.Add(t.interval / 2)
	}
	return t
}
