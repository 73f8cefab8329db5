package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// hello is the first line that a sender writes.
type hello struct {
	Call  string `json:"call"`
	Party string `json:"party"` // "customer" or "agent"
	Token string `json:"token"`
}

// event is a line that the adapter writes: "ready", "refused", "error" or "end".
type event struct {
	Event string `json:"event"`
	Text  string `json:"text,omitempty"`
}

const (
	maxLine   = 4096 // bytes of a line
	maxPacket = 8000 // bytes of a packet: one second of audio
	maxKey    = 128  // bytes of a call's id
)

// errProtocol means that the sender broke the protocol.
var errProtocol = errors.New("protocol error")

func readHello(r *bufio.Reader) (hello, error) {
	line, err := r.ReadSlice('\n') // as long as r's buffer at most
	if err != nil {
		return hello{}, fmt.Errorf("%w: no hello line: %w", errProtocol, err)
	}
	var h hello
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&h); err != nil || d.More() {
		return hello{}, fmt.Errorf("%w: the hello is not one JSON object with call, party and token", errProtocol)
	}
	if h.Call == "" || len(h.Call) > maxKey {
		return hello{}, fmt.Errorf("%w: call must have 1 to %d bytes", errProtocol, maxKey)
	}
	if h.Party != "customer" && h.Party != "agent" {
		return hello{}, fmt.Errorf(`%w: party must be "customer" or "agent"`, errProtocol)
	}
	return h, nil
}

// readPacket reads a packet, two bytes of length in network order and as much
// mu-law, into buf. An empty packet is the sender's goodbye and returns io.EOF.
func readPacket(r io.Reader, buf []byte) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, fmt.Errorf("connection ended without goodbye: %w", noEOF(err))
	}
	n := int(binary.BigEndian.Uint16(size[:]))
	if n == 0 {
		return nil, io.EOF
	}
	if n > len(buf) {
		return nil, fmt.Errorf("%w: packet of %d bytes; at most %d", errProtocol, n, len(buf))
	}
	if _, err := io.ReadFull(r, buf[:n]); err != nil {
		return nil, fmt.Errorf("connection ended within a packet: %w", noEOF(err))
	}
	return buf[:n], nil
}

// noEOF keeps a lost connection apart from a goodbye.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func writeEvent(w io.Writer, e event) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

func appendPacket(dst, audio []byte) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(audio))), audio...)
}
