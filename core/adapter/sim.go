package adapter

import "github.com/patchbay/patchbay/core/media"

// SimReport is what a vendor simulator prints as the last line of its standard
// output when it is asked for JSON: its own count of what it sent, so that it can
// be held against the ledger's and the emulator's.
type SimReport struct {
	Calls []SimCall `json:"calls"`
}

// SimCall is one simulated call.
type SimCall struct {
	Call   string     `json:"call"`            // LegInfo.CallKey
	Error  string     `json:"error,omitempty"` // why the call failed or was refused
	Tracks []SimTrack `json:"tracks"`
}

// SimTrack is what was sent on one track.
type SimTrack struct {
	Track   media.TrackID `json:"track"`
	Frames  int64         `json:"frames"`
	Samples int64         `json:"samples"`
	// Lost is samples between the first and the last frame that were withheld, as a bad
	// network does; they are not among Samples.
	Lost int64 `json:"lost,omitempty"`
}
