package media

import "errors"

// Chunk is a stretch of a tape in one format, as a reader gets it.
type Chunk struct {
	Pos     int64 // tape position of the first sample; it jumps where audio was withheld or discarded
	Format  Format
	Payload []byte // whole samples
}

// End returns the tape position after the chunk.
func (c Chunk) End() int64 { return c.Pos + c.Format.Samples(len(c.Payload)) }

// ErrParked is returned by a tape's reader that has read everything while nobody
// writes: the leg has gone, or is held. More may follow.
var ErrParked = errors.New("media: no audio for now")
