package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	voicepb "github.com/patchbay/patchbay/adapters/five9/proto/five9/voicestream"
)

// goodbyeTimeout is how long a client waits for the server's last word.
const goodbyeTimeout = 10 * time.Second

// StreamError is how a server ended a stream that had not said goodbye.
type StreamError struct {
	Status voicepb.StreamingStatus_StatusCode // the last that it sent; 0 for none
	Code   codes.Code                         // of the RPC
	Text   string
}

func (e *StreamError) Error() string {
	return fmt.Sprintf("the server ended the stream with %v, RPC %v: %s", e.Status, e.Code, e.Text)
}

// StreamOptions say how a stream begins.
type StreamOptions struct {
	Config   *voicepb.StreamingConfig
	Metadata map[string]string // of the RPC
	// Hasty clients do not wait for the server's leave to send.
	Hasty bool
	// Untimed clients leave send_time out.
	Untimed bool
}

// Stream is one RPC.
type Stream struct {
	o      StreamOptions
	rpc    grpc.BidiStreamingClient[voicepb.StreamingVoiceRequest, voicepb.StreamingVoiceResponse]
	cancel context.CancelFunc
	begun  chan struct{} // the server wants audio
	ended  chan struct{} // nothing more comes from the server

	sending sync.Mutex // one message at a time

	mu      sync.Mutex
	paused  bool
	asked   bool // to come again by another stream
	closing bool
	codes   []voicepb.StreamingStatus_StatusCode // that came
	text    string                               // of the last
	err     error
}

// OpenStream begins a leg. Unless it is hasty, it waits for the server's leave and
// fails with a *StreamError when the server declines.
func OpenStream(ctx context.Context, conn grpc.ClientConnInterface, o StreamOptions) (*Stream, error) {
	for name, value := range o.Metadata {
		ctx = metadata.AppendToOutgoingContext(ctx, name, value)
	}
	rpcCtx, cancel := context.WithCancel(ctx)
	rpc, err := voicepb.NewVoiceClient(conn).StreamingVoice(rpcCtx)
	if err != nil {
		cancel()
		return nil, err
	}
	s := &Stream{o: o, rpc: rpc, cancel: cancel, begun: make(chan struct{}), ended: make(chan struct{})}
	go s.listen() // until the RPC ends
	if o.Config != nil {
		if err := s.Raw(&voicepb.StreamingVoiceRequest{StreamingRequest: &voicepb.StreamingVoiceRequest_StreamingConfig{StreamingConfig: o.Config}}); err != nil && !errors.Is(err, io.EOF) {
			s.Vanish()
			return nil, err
		}
	}
	if o.Hasty || o.Config == nil {
		return s, nil
	}
	select {
	case <-s.begun:
		return s, nil
	case <-s.ended:
		s.Vanish()
		return nil, s.Err()
	case <-ctx.Done():
		s.Vanish()
		return nil, ctx.Err()
	}
}

// listen obeys the server.
func (s *Stream) listen() {
	defer close(s.ended)
	defer s.cancel()
	begun := false
	for {
		m, err := s.rpc.Recv()
		if err != nil {
			s.over(err)
			return
		}
		code := m.GetStatus().GetCode()
		s.mu.Lock()
		s.codes, s.text = append(s.codes, code), m.GetStatus().GetMessage()
		switch code {
		case voicepb.StreamingStatus_SRV_REQ_START_STREAMING:
			s.paused = false
			if !begun {
				begun = true
				close(s.begun)
			}
		case voicepb.StreamingStatus_SRV_REQ_PAUSE_STREAMING:
			s.paused = true
		case voicepb.StreamingStatus_SRV_REQ_RECONNECT:
			s.asked = true
		}
		s.mu.Unlock()
		if code == voicepb.StreamingStatus_SRV_REQ_RECONNECT {
			_ = s.closeSend() // Recv says what went wrong
		}
	}
}

// over keeps why the server ended the RPC, unless we wanted that.
func (s *Stream) over(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return
	}
	e := &StreamError{Code: status.Code(err), Text: s.text}
	if errors.Is(err, io.EOF) {
		e.Code = codes.OK
	} else if e.Text == "" {
		e.Text = status.Convert(err).Message()
	}
	if n := len(s.codes); n > 0 && s.codes[n-1] != voicepb.StreamingStatus_SRV_REQ_START_STREAMING {
		e.Status = s.codes[n-1]
	}
	s.err = e
}

// closeSend tells the server that nothing follows; it has all that was sent before.
func (s *Stream) closeSend() error {
	s.sending.Lock()
	defer s.sending.Unlock()
	return s.rpc.CloseSend()
}

// Raw sends any message.
func (s *Stream) Raw(m *voicepb.StreamingVoiceRequest) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	s.mu.Lock()
	asked := s.asked
	s.mu.Unlock()
	if asked {
		return io.EOF // as after the server's end
	}
	return s.rpc.Send(m)
}

// Send sends audio, unless the server has paused the stream; sent says so. It fails with
// io.EOF once the server has ended the stream or asked for another.
func (s *Stream) Send(payload []byte) (sent bool, err error) {
	s.mu.Lock()
	paused := s.paused
	s.mu.Unlock()
	if paused {
		return false, nil
	}
	m := &voicepb.StreamingVoiceRequest{StreamingRequest: &voicepb.StreamingVoiceRequest_AudioContent{AudioContent: payload}}
	if !s.o.Untimed {
		m.SendTime = timestamppb.Now()
	}
	return true, s.Raw(m)
}

// Status sends a status.
func (s *Stream) Status(code voicepb.StreamingStatus_StatusCode) error {
	return s.Raw(&voicepb.StreamingVoiceRequest{
		StreamingRequest: &voicepb.StreamingVoiceRequest_StreamingStatus{StreamingStatus: &voicepb.StreamingStatus{Code: code}},
		SendTime:         timestamppb.Now(),
	})
}

// Hangup says goodbye with a code (success says nothing), half-closes, and waits for
// the server's end of the RPC.
func (s *Stream) Hangup(ctx context.Context, code voicepb.StreamingStatus_StatusCode) error {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	var err error
	if code != voicepb.StreamingStatus_SUCCESS {
		err = s.Status(code)
	}
	err = errors.Join(err, s.closeSend())
	timer := time.NewTimer(goodbyeTimeout)
	defer timer.Stop()
	select {
	case <-s.ended:
	case <-timer.C:
		err = errors.Join(err, errors.New("sim: the server does not end the stream"))
	case <-ctx.Done():
		err = errors.Join(err, ctx.Err())
	}
	s.Vanish()
	if errors.Is(err, io.EOF) { // the server was faster
		err = nil
	}
	return err
}

// Vanish drops the stream without a word. It may be called again.
func (s *Stream) Vanish() {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.cancel()
	<-s.ended
}

// Ended is closed when the server has ended the RPC, or the connection broke.
func (s *Stream) Ended() <-chan struct{} { return s.ended }

// Err returns why the server ended the stream: a *StreamError, or nil while it runs
// and after an end of our own.
func (s *Stream) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Codes returns the statuses that have come.
func (s *Stream) Codes() []voicepb.StreamingStatus_StatusCode {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]voicepb.StreamingStatus_StatusCode(nil), s.codes...)
}
