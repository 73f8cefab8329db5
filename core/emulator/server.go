package emulator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	v2 "cloud.google.com/go/dialogflow/apiv2/dialogflowpb"
	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/patchbay/patchbay/core/emulator/hear"
	"github.com/patchbay/patchbay/core/emulator/knowledge"
	"github.com/patchbay/patchbay/core/emulator/recordings"
)

// StreamsPerConnection is how many RPCs one HTTP/2 connection carries at a time,
// as with Google's front ends: a client of many calls needs several connections.
const StreamsPerConnection = 100

// Server is the emulator's state. All its methods are safe for concurrent use.
type Server struct {
	cfg        Config
	log        *slog.Logger
	recognizer hear.Recognizer
	knowledge  *knowledge.Base
	faults     *faults
	readers    sync.WaitGroup // one goroutine a stream that waits for the client

	mu            sync.Mutex // never taken while a conversation's is held
	profiles      *profileSet
	conversations map[string]*conversation
	order         []*conversation // by age
	answers       map[string]*pb.AnswerRecord
	answerOrder   []string
	quotas        map[string]*quota // by project
	nextID        int64
}

// New makes a server with the profiles of the configuration. It starts nothing.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, log: cfg.Logger, recognizer: cfg.Recognizer, knowledge: cfg.Knowledge,
		conversations: map[string]*conversation{},
		answers:       map[string]*pb.AnswerRecord{},
		quotas:        map[string]*quota{},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if s.knowledge == nil {
		if s.knowledge, err = demoKnowledge(); err != nil {
			return nil, err
		}
	}
	if s.recognizer == nil {
		if s.recognizer, err = DefaultRecognizer(); err != nil {
			return nil, err
		}
	}
	s.profiles = newProfileSet(cfg)
	s.faults = newFaults(cfg, s.log)
	if _, err := s.Inject(cfg.Faults); err != nil {
		return nil, err
	}
	return s, nil
}

// DefaultRecognizer hears coded blocks, tone words and the bundled recordings.
func DefaultRecognizer() (hear.Recognizer, error) { return defaultRecognizer() }

// The built-in data never change: every server of a process shares them.
var (
	demoKnowledge     = sync.OnceValues(knowledge.Demo)
	defaultRecognizer = sync.OnceValues(func() (hear.Recognizer, error) {
		list, err := recordings.Load(recordings.FS)
		if err != nil {
			return nil, err
		}
		script, err := hear.NewScript(list)
		if err != nil {
			return nil, err
		}
		return hear.All(hear.Coded{}, hear.Tones{}, script), nil
	})
)

// GRPC returns a gRPC server that serves both versions. Its caller stops it and
// then calls Close. With credentials of the caller's among the options, faults end
// streams and RPCs but cannot cut connections.
func (s *Server) GRPC(opts ...grpc.ServerOption) *grpc.Server {
	opts = append([]grpc.ServerOption{
		grpc.MaxConcurrentStreams(StreamsPerConnection),
		grpc.WaitForHandlers(true), // so that Stop means that nothing is left
		grpc.UnknownServiceHandler(unknownService),
		grpc.Creds(s.faults.credentials()),
		grpc.ChainUnaryInterceptor(nameUnaryMethod, s.faults.meddleUnary),
		grpc.ChainStreamInterceptor(nameStreamMethod, s.faults.meddleStream),
	}, opts...)
	g := grpc.NewServer(opts...)
	pb.RegisterConversationsServer(g, &conversations{Server: s})
	pb.RegisterParticipantsServer(g, &participants{Server: s})
	pb.RegisterConversationProfilesServer(g, &profiles{Server: s})
	pb.RegisterAnswerRecordsServer(g, &answers{Server: s})
	v2.RegisterConversationsServer(g, &conversationsV2{core: conversations{Server: s}})
	v2.RegisterParticipantsServer(g, &participantsV2{core: participants{Server: s}})
	v2.RegisterConversationProfilesServer(g, &profilesV2{core: profiles{Server: s}})
	v2.RegisterAnswerRecordsServer(g, &answersV2{core: answers{Server: s}})
	return g
}

// Serve answers on a listener until ctx ends, then hangs up on everybody, closes
// the server and returns nil.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	g := s.GRPC()
	stop := context.AfterFunc(ctx, g.Stop)
	err := g.Serve(ln)
	if !stop() {
		err = nil // ctx ended; Stop below waits for the one that is under way
	}
	g.Stop()
	s.Close()
	if err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("emulator: serve: %w", err)
	}
	return nil
}

// Close stops the clocks of conversations and faults and waits for the goroutines of
// streams. The gRPC servers must be stopped before. The account stays readable.
func (s *Server) Close() {
	s.mu.Lock()
	for _, c := range s.order {
		c.expiry.Stop()
	}
	s.mu.Unlock()
	s.faults.close()
	s.readers.Wait()
}

// newID returns a number that is unique in this server.
func (s *Server) newID() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextID++
	return s.nextID
}

func unknownService(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	return notOffered(method)
}

// nameUnaryMethod and nameStreamMethod give RPCs that exist in the API and not
// here an error that says so.
func nameUnaryMethod(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	resp, err := handle(ctx, req)
	if status.Code(err) == codes.Unimplemented {
		return nil, notOffered(info.FullMethod)
	}
	return resp, err
}

func nameStreamMethod(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	err := handle(srv, stream)
	if status.Code(err) == codes.Unimplemented {
		return notOffered(info.FullMethod)
	}
	return err
}

func notOffered(method string) error {
	return status.Errorf(codes.Unimplemented, "the emulator does not offer %s", method)
}

// now is the clock; a name for it keeps the callers readable.
func now() time.Time { return time.Now() }
