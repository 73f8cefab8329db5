package sim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/patchbay/patchbay/core/media"
)

// Media is a kind of audio that is offered.
type Media struct {
	Type     string          `json:"type"`
	Format   string          `json:"format"`
	Channels []media.TrackID `json:"channels"`
	Rate     int             `json:"rate"`
}

// Offer returns the entries of a format for both voices, then for each alone, as the
// reference client offers them.
func Offer(format string) []Media {
	var offer []Media
	for _, channels := range [][]media.TrackID{{External, Internal}, {External}, {Internal}} {
		offer = append(offer, Media{Type: "audio", Format: format, Channels: channels, Rate: media.Telephony.Rate})
	}
	return offer
}

func (m Media) equal(other Media) bool {
	return m.Type == other.Type && m.Format == other.Format && m.Rate == other.Rate && slices.Equal(m.Channels, other.Channels)
}

// message is any message of the server.
type message struct {
	Version    string          `json:"version"`
	Type       string          `json:"type"`
	ID         string          `json:"id"`
	Seq        int64           `json:"seq"`
	ClientSeq  int64           `json:"clientseq"`
	Parameters json.RawMessage `json:"parameters"`
}

// Entity is a piece of an event.
type Entity struct {
	Type string          `json:"type"`
	Data json.RawMessage `json:"data"`
}

// duration writes samples as the protocol writes lengths of time.
func duration(samples int64) string {
	d := media.Telephony.Duration(samples)
	s := strconv.FormatInt(int64(d/time.Second), 10)
	if rest := d % time.Second; rest > 0 {
		s += strings.TrimRight(fmt.Sprintf(".%09d", int64(rest)), "0")
	}
	return "PT" + s + "S"
}

// Error is why a session failed, or how the server ended it.
type Error struct {
	HTTP   int    // status of a refused upgrade
	Reason string // of the server's disconnect
	Code   int    // error code with which the client gave up
	Text   string
}

func (e *Error) Error() string {
	switch {
	case e.HTTP != 0:
		return fmt.Sprintf("the upgrade was answered with HTTP %d: %s", e.HTTP, e.Text)
	case e.Reason != "":
		return fmt.Sprintf("the server said disconnect %s: %s", e.Reason, e.Text)
	case e.Code != 0:
		return fmt.Sprintf("error %d: %s", e.Code, e.Text)
	}
	return e.Text
}
