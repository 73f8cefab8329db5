package audiohook

import (
	"bytes"
	"encoding/json"
	"errors"
	"sync"
)

// maxUnread is how many messages of ours wait to be written. Genesys is sent few.
const maxUnread = 64

// outbox numbers our messages, in the order in which they wait to be written. It is
// safe for concurrent use.
type outbox struct {
	id    string // of the session
	queue chan []byte

	mu        sync.Mutex
	seq       int64 // of our last message
	clientSeq int64 // of the last that came
}

func newOutbox(session string) *outbox {
	return &outbox{id: session, queue: make(chan []byte, maxUnread)}
}

var (
	errUnread  = errors.New("too many messages wait to be read")
	errTooLong = errors.New("the message is longer than 64 KiB")
)

// say queues a message, or fails with errUnread or errTooLong.
func (o *outbox) say(kind string, parameters any) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) == cap(o.queue) { // nobody else adds
		return errUnread
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(serverMessage{Version: protocolVersion, Type: kind, ID: o.id, Seq: o.seq + 1, ClientSeq: o.clientSeq, Parameters: parameters}); err != nil {
		return err
	}
	if b.Len() > maxText {
		return errTooLong
	}
	o.seq++
	o.queue <- bytes.TrimRight(b.Bytes(), "\n")
	return nil
}

// heard notes a message that came.
func (o *outbox) heard(seq int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.clientSeq = max(o.clientSeq, seq)
}

// sent returns the number of our last message.
func (o *outbox) sent() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seq
}

// nothing is the parameters of a message that has none.
type nothing struct{}
