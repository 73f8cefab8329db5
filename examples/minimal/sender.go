package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
)

// sender is the other end of the wire: one party of a call.
type sender struct {
	conn net.Conn
	r    *bufio.Reader
}

// dial connects, says hello and waits for the adapter's answer. A refusal matches
// adapter.ErrRefused. ctx bounds the set-up alone.
func dial(ctx context.Context, addr string, h hello) (*sender, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &sender{conn: conn, r: bufio.NewReaderSize(conn, maxLine)}
	if err := s.greet(ctx, h); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return s, nil
}

func (s *sender) greet(ctx context.Context, h hello) error {
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetDeadline(time.Now()) })
	defer stop()
	line, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if _, err := s.conn.Write(append(line, '\n')); err != nil {
		return err
	}
	e, err := s.next()
	switch {
	case err != nil:
		return fmt.Errorf("no answer to the hello: %w", err)
	case e.Event == "refused":
		return fmt.Errorf("%w by the adapter: %s", adapter.ErrRefused, e.Text)
	case e.Event != "ready":
		return fmt.Errorf("the adapter answered %q: %s", e.Event, e.Text)
	}
	return nil
}

// next reads an event of the adapter.
func (s *sender) next() (event, error) {
	line, err := s.r.ReadSlice('\n')
	if err != nil {
		return event{}, err
	}
	var e event
	err = json.Unmarshal(line, &e)
	return e, err
}

// send sends audio in packets of 20 ms, as fast as the connection takes it.
func (s *sender) send(audio []byte) error {
	var wire []byte
	for len(audio) > 0 {
		n := min(len(audio), packetSize)
		wire = appendPacket(wire, audio[:n])
		audio = audio[n:]
	}
	_, err := s.conn.Write(wire)
	return err
}

// goodbye ends the leg and waits for the adapter's last word.
func (s *sender) goodbye() error {
	if _, err := s.conn.Write(appendPacket(nil, nil)); err != nil {
		return err
	}
	_, err := s.next()
	return err
}
