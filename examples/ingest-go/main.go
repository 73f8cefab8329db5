// Command ingest-go brings a recorded call to patchbay by patchbay.ingest.v1 and prints
// what comes back: the whole of a client in one file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	ingestpb "github.com/patchbay/patchbay/adapters/native/proto/patchbay/ingest/v1"
	"github.com/patchbay/patchbay/core/media"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var o options
	flag.StringVar(&o.address, "address", "127.0.0.1:8443", "patchbay's native adapter")
	flag.BoolVar(&o.tls, "tls", false, "speak TLS")
	flag.StringVar(&o.call, "call", "", "your id of the call (required)")
	flag.StringVar(&o.wav, "wav", "", "recording: the customer left, the agent right (required)")
	flag.Float64Var(&o.speed, "speed", 1, "times real time")
	flag.Parse()
	o.token = os.Getenv("PATCHBAY_TOKEN") // never on a command line
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type options struct {
	address, token, call, wav string
	tls                       bool
	speed                     float64
}

// run brings one call and returns when its last result has come.
func run(ctx context.Context, o options, out io.Writer) error {
	f, err := os.Open(o.wav)
	if err != nil {
		return err
	}
	recording, err := media.ReadWAV(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	creds := insecure.NewCredentials()
	if o.tls {
		creds = credentials.NewTLS(nil)
	}
	conn, err := grpc.NewClient(o.address, grpc.WithTransportCredentials(creds))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+o.token))
	defer cancel()
	stream, err := ingestpb.NewIngestClient(conn).Stream(ctx)
	if err != nil {
		return err
	}
	received := make(chan error, 1)
	go func() { received <- receive(stream, out) }()
	if err := send(ctx, stream, recording, o); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return <-received // where a stream fails, this says why
}

const step = 100 * time.Millisecond // of audio in a message

// send says which call it is and who speaks, then the audio as it would come, then
// goodbye.
func send(ctx context.Context, stream ingestpb.Ingest_StreamClient, recording media.WAV, o options) error {
	open := &ingestpb.Open{Call: o.call, Results: true, Attributes: map[string]string{"source": "ingest-go"}}
	if err := stream.Send(&ingestpb.StreamRequest{Request: &ingestpb.StreamRequest_Open{Open: open}}); err != nil {
		return err
	}
	names := []string{"customer", "agent"}[:min(2, len(recording.Channels))]
	for i, name := range names {
		track := &ingestpb.Track{Track: name, Encoding: ingestpb.Encoding_ENCODING_LINEAR16, SampleRateHertz: int32(recording.Rate),
			Role: []ingestpb.Role{ingestpb.Role_ROLE_CUSTOMER, ingestpb.Role_ROLE_AGENT}[i]}
		if err := stream.Send(&ingestpb.StreamRequest{Request: &ingestpb.StreamRequest_Track{Track: track}}); err != nil {
			return err
		}
	}
	tick := time.NewTicker(time.Duration(float64(step) / o.speed))
	defer tick.Stop()
	size := recording.Rate / int(time.Second/step)
	for from := 0; from < len(recording.Channels[0]); from += size {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		for i, name := range names {
			samples := recording.Channels[i][from:min(from+size, len(recording.Channels[i]))]
			audio := &ingestpb.Audio{Track: name, Payload: media.AppendEncoded(nil, media.Linear16, samples)}
			if err := stream.Send(&ingestpb.StreamRequest{Request: &ingestpb.StreamRequest_Audio{Audio: audio}}); err != nil {
				return err
			}
		}
	}
	return stream.CloseSend()
}

// receive prints what comes back until the stream ends.
func receive(stream ingestpb.Ingest_StreamClient, out io.Writer) error {
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch m := m.GetResponse().(type) {
		case *ingestpb.StreamResponse_Transcript:
			if t := m.Transcript; t.GetFinal() {
				_, _ = fmt.Fprintf(out, "%-8s %6.1fs  %s\n", t.GetTrack(), t.GetOffset().AsDuration().Seconds(), t.GetText())
			}
		case *ingestpb.StreamResponse_Suggestion:
			_, _ = fmt.Fprintf(out, "  suggestion (%s): %s\n", m.Suggestion.GetFeature(), m.Suggestion.GetTitle())
		case *ingestpb.StreamResponse_Problem:
			_, _ = fmt.Fprintf(out, "  problem: %s\n", m.Problem.GetText())
		case *ingestpb.StreamResponse_Closed:
			for _, r := range m.Closed.GetReceived() {
				_, _ = fmt.Fprintf(out, "  patchbay has %d samples of %s\n", r.GetSamples(), r.GetTrack())
			}
		}
	}
}
