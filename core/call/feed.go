package call

import (
	"sync"

	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/tape"
)

// feed is the way of a track's audio from its leg to its tape. The tape may change in
// the middle of the adapter's segment, when somebody corrects who speaks.
type feed struct {
	mu     sync.Mutex
	tape   *tape.Tape
	format media.Format
	writer *tape.Writer
	base   int64 // where in the adapter's segment the writer's begins
}

// noWriters is for legs that send no audio any more.
var noWriters = map[media.TrackID]*feed{}

// write appends a frame to the tape.
func (f *feed) write(fr media.Frame) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.base > 0 {
		fr.Pos -= f.base
		if before := min(-fr.Pos, f.format.Samples(len(fr.Payload))); before > 0 { // of the tape before
			f.tape.Dropped(before, "late")
			fr.Pos += before
			fr.Payload = fr.Payload[f.format.Bytes(before):]
			if len(fr.Payload) == 0 {
				return nil
			}
		}
	}
	return f.writer.Write(fr)
}

// divert ends the old tape and lets what follows go to another.
func (f *feed) divert(old, next *tape.Tape, w *tape.Writer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	old.End()
	f.base += f.writer.Next()
	f.tape, f.writer = next, w
}
