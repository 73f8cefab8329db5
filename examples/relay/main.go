// Command relay is the simplest honest relay of Twilio Media Streams into Agent
// Assist: one process, one goroutine a call, Google's client. It works, and it shows
// what a relay leaves out; README.md goes through that. Patchbay is measured against
// it (compare).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	dialogflow "cloud.google.com/go/dialogflow/apiv2beta1"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	listen := flag.String("listen", "127.0.0.1:8081", "where Twilio connects, at /stream")
	endpoint := flag.String("endpoint", "", "an emulator's address; empty is Google, with Application Default Credentials")
	project := flag.String("project", "local", "Google Cloud project")
	profile := flag.String("profile", "demo", "id of a conversation profile of the project, in location global")
	connections := flag.Int("connections", 8, "connections to Agent Assist; each carries about 100 streams")
	flag.Parse()
	if err := run(ctx, *listen, *endpoint, *project, *profile, *connections); err != nil {
		fmt.Fprintln(os.Stderr, "relay:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, listen, endpoint, project, profile string, connections int) (err error) {
	opts := []option.ClientOption{option.WithGRPCConnectionPool(connections)}
	if endpoint != "" {
		opts = append(opts, option.WithEndpoint(endpoint), option.WithoutAuthentication(), option.WithTelemetryDisabled(),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	}
	lasting := context.WithoutCancel(ctx) // calls say goodbye after ctx
	conversations, err := dialogflow.NewConversationsClient(lasting, opts...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conversations.Close()) }()
	participants, err := dialogflow.NewParticipantsClient(lasting, opts...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, participants.Close()) }()
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Printf("listening on %s\n", ln.Addr())
	parent := "projects/" + project + "/locations/global"
	r := &relay{
		parent: parent, profile: parent + "/conversationProfiles/" + profile,
		conversations: conversations, participants: participants,
		log: slog.New(slog.NewTextHandler(os.Stderr, nil)), out: os.Stdout,
	}
	return r.serve(ctx, ln)
}

// serve takes streams until ctx ends, then hangs up and lets the calls end.
func (r *relay) serve(ctx context.Context, ln net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/stream", r.stream)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	err := server.Serve(ln)
	r.calls.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
