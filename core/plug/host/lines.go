package host

import (
	"bytes"
	"sync"
)

// maxLine is the longest line of a plugin's output that is kept; the rest of a
// longer one is cut off.
const maxLine = 16 << 10

// lines is a writer that calls emit for each line, without its end. It never
// fails and holds one line at most.
type lines struct {
	mu   sync.Mutex
	emit func(line []byte, cut bool)
	buf  []byte
	cut  bool
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for rest := p; len(rest) > 0; {
		part, tail, whole := bytes.Cut(rest, []byte{'\n'})
		room := maxLine - len(l.buf)
		l.cut = l.cut || len(part) > room
		l.buf = append(l.buf, part[:min(room, len(part))]...)
		if whole {
			l.flush()
		}
		rest = tail
	}
	return len(p), nil
}

// flush emits the line at hand. The caller holds mu.
func (l *lines) flush() {
	l.emit(bytes.TrimRight(l.buf, "\r"), l.cut)
	l.buf, l.cut = l.buf[:0], false
}

// end emits what has no line end.
func (l *lines) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.buf) > 0 {
		l.flush()
	}
}
