// Package sse is the wire form of Server-Sent Events (WHATWG HTML, "server-sent
// events"): what the API writes and the command line reads.
package sse

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
)

// MaxLine bounds a line that a Reader takes; patchbay's events have a few thousand bytes.
const MaxLine = 1 << 20

// Message is one Server-Sent Event.
type Message struct {
	ID    string // of the last message that had one
	Event string
	Data  []byte
}

// Append appends m to dst. ID and Event must be single lines; an empty one is left
// out, which means the same ID as before.
func Append(dst []byte, m Message) []byte {
	if m.ID != "" {
		dst = fmt.Appendf(dst, "id: %s\n", m.ID)
	}
	if m.Event != "" {
		dst = fmt.Appendf(dst, "event: %s\n", m.Event)
	}
	for line := range bytes.SplitSeq(m.Data, []byte("\n")) {
		dst = fmt.Appendf(dst, "data: %s\n", line)
	}
	return append(dst, '\n')
}

// Reader reads messages. Lines end with \n or \r\n; comments and unknown fields are
// skipped.
type Reader struct {
	lines *bufio.Scanner
	id    string
}

// NewReader returns a reader of r.
func NewReader(r io.Reader) *Reader {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, MaxLine)
	return &Reader{lines: lines}
}

// Next returns the next message that has data. It fails with io.EOF when the stream
// ends; a message that is cut off there is not one.
func (r *Reader) Next() (Message, error) {
	var m Message
	var data [][]byte
	for r.lines.Scan() {
		line := r.lines.Bytes()
		if len(line) == 0 {
			if data != nil {
				m.ID, m.Data = r.id, bytes.Join(data, []byte("\n"))
				return m, nil
			}
			m = Message{}
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "id":
			if !bytes.ContainsRune(value, 0) {
				r.id = string(value)
			}
		case "event":
			m.Event = string(value)
		case "data":
			data = append(data, bytes.Clone(value))
		}
	}
	if err := r.lines.Err(); err != nil {
		return Message{}, fmt.Errorf("event stream: %w", err)
	}
	return Message{}, io.EOF
}
