package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	ingestpb "github.com/patchbay/patchbay/adapters/native/proto/patchbay/ingest/v1"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/plug/host/hosttest"
)

// The suite runs for both protocols, in this process and across the seam.
func TestConformance(t *testing.T) {
	plugin := hosttest.Seam(hosttest.Build(t, "github.com/patchbay/patchbay/plugins/native"))
	for name, open := range map[string]opener{"google": openGoogle, "ingest": openIngest} {
		subject := func(testing.TB) adaptertest.Subject {
			cfg := testConfig()
			return adaptertest.Subject{
				New:      func() (adapter.Adapter, error) { return New(cfg) },
				Settings: cfg,
				Peer: func(_ testing.TB, addr func(string) string) adaptertest.Peer {
					return clientPeer{addr: addr(listenerGRPC), open: open}
				},
			}
		}
		t.Run(name+" in process", func(t *testing.T) { adaptertest.Run(t, subject) })
		t.Run(name+" across the seam", func(t *testing.T) { adaptertest.RunWith(t, plugin, subject) })
	}
}

// opener begins a stream and returns how audio is sent on it, how it is half-closed and
// what receives the next answer.
type opener func(ctx context.Context, conn *grpc.ClientConn, call, leg int) (send func([]byte) error, end func() error, recv func() error, err error)

type clientPeer struct {
	addr string
	open opener
}

// Start implements adaptertest.Peer.
func (p clientPeer) Start(_ context.Context, call, leg int) (adaptertest.PeerLeg, error) {
	conn, err := grpc.NewClient(p.addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithPerRPCCredentials(bearer(testToken)))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &peerLeg{conn: conn, cancel: cancel, track: media.TrackID(fmt.Sprintf("p-%d", leg)), over: make(chan struct{})}
	send, end, recv, err := p.open(ctx, conn, call, leg)
	if err != nil {
		cancel()
		return nil, errors.Join(err, conn.Close())
	}
	l.send, l.end = send, end
	go func() {
		defer close(l.over)
		for l.err == nil {
			l.err = recv()
		}
		cancel()
		_ = conn.Close()
	}()
	return l, nil
}

type peerLeg struct {
	conn   *grpc.ClientConn
	cancel context.CancelFunc
	track  media.TrackID
	send   func([]byte) error
	end    func() error
	over   chan struct{}
	err    error // once over is closed
	once   sync.Once
}

func (l *peerLeg) Tracks() []media.TrackID { return []media.TrackID{l.track} }

func (l *peerLeg) Send(_ context.Context, _ media.TrackID, muLaw []byte) error {
	for len(muLaw) > 0 {
		n := min(len(muLaw), 800)
		if err := l.send(muLaw[:n]); err != nil {
			return err
		}
		muLaw = muLaw[n:]
	}
	return nil
}

func (l *peerLeg) Hangup(ctx context.Context) error {
	if err := l.end(); err != nil {
		return err
	}
	select {
	case <-l.over:
	case <-ctx.Done():
		return ctx.Err()
	}
	if !errors.Is(l.err, io.EOF) {
		return l.err
	}
	return nil
}

func (l *peerLeg) Vanish() {
	l.once.Do(l.cancel)
	<-l.over
}

func (l *peerLeg) Wait(ctx context.Context) error {
	select {
	case <-l.over:
	case <-ctx.Done():
		return ctx.Err()
	}
	switch status.Code(l.err) {
	case codes.ResourceExhausted, codes.Unavailable, codes.PermissionDenied:
		return fmt.Errorf("%w: %w", adapter.ErrRefused, l.err)
	}
	return nil
}

func openGoogle(ctx context.Context, conn *grpc.ClientConn, call, leg int) (func([]byte) error, func() error, func() error, error) {
	st, err := pb.NewParticipantsClient(conn).StreamingAnalyzeContent(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	send := func(b []byte) error {
		return st.Send(&pb.StreamingAnalyzeContentRequest{Input: &pb.StreamingAnalyzeContentRequest_InputAudio{InputAudio: b}})
	}
	recv := func() error { _, err := st.Recv(); return err }
	first := config(fmt.Sprintf("%s/conversations/c-%d/participants/p-%d", parent, call, leg))
	return send, st.CloseSend, recv, ignoreEOF(st.Send(first))
}

func openIngest(ctx context.Context, conn *grpc.ClientConn, call, leg int) (func([]byte) error, func() error, func() error, error) {
	st, err := ingestpb.NewIngestClient(conn).Stream(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	track := fmt.Sprintf("p-%d", leg)
	send := func(b []byte) error {
		return st.Send(&ingestpb.StreamRequest{Request: &ingestpb.StreamRequest_Audio{Audio: &ingestpb.Audio{Track: track, Payload: b}}})
	}
	recv := func() error { _, err := st.Recv(); return err }
	for _, m := range []*ingestpb.StreamRequest{
		{Request: &ingestpb.StreamRequest_Open{Open: &ingestpb.Open{Call: fmt.Sprintf("c-%d", call), Leg: track}}},
		{Request: &ingestpb.StreamRequest_Track{Track: &ingestpb.Track{Track: track, Encoding: ingestpb.Encoding_ENCODING_MULAW, SampleRateHertz: 8000, Role: ingestpb.Role_ROLE_CUSTOMER}}},
	} {
		if err := st.Send(m); ignoreEOF(err) != nil {
			return nil, nil, nil, err
		}
	}
	return send, st.CloseSend, recv, nil
}

// ignoreEOF hides the error of a send on a stream that has ended: recv says why.
func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
