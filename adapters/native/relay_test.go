package native

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	dialogflowv2 "cloud.google.com/go/dialogflow/apiv2"
	v2 "cloud.google.com/go/dialogflow/apiv2/dialogflowpb"
	dialogflow "cloud.google.com/go/dialogflow/apiv2beta1"
	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/call"
	"github.com/patchbay/patchbay/core/emulator"
)

// Unary calls reach Agent Assist in the client's own version, and answers come back whole.
func TestUnary(t *testing.T) {
	inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
		conv, customer, _ := r.conversation("CAunary")
		p, err := r.partsV2.CreateParticipant(r.Context(), &v2.CreateParticipantRequest{Parent: conv,
			Participant: &v2.Participant{Role: v2.Participant_HUMAN_AGENT, SipRecordingMediaLabel: "7"}})
		if err != nil || p.GetSipRecordingMediaLabel() != "7" {
			t.Errorf("CreateParticipant of v2 = %v, %v; want the label that v2 alone has", p, err)
		}
		text, err := r.parts.AnalyzeContent(r.Context(), &pb.AnalyzeContentRequest{Participant: customer, RequestId: "r-1",
			Input: &pb.AnalyzeContentRequest_TextInput{TextInput: &pb.TextInput{Text: "my connection drops, see projects/ of mine", LanguageCode: "en"}}})
		if err != nil || text.GetMessage().GetContent() == "" || len(text.GetHumanAgentSuggestionResults()) == 0 {
			t.Errorf("AnalyzeContent = %v, %v", text, err)
		}
		profiles, err := dialogflowv2.NewConversationProfilesClient(r.Context(), r.client(testToken)...)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = profiles.Close() }()
		if got, err := profiles.GetConversationProfile(r.Context(), &v2.GetConversationProfileRequest{Name: profileName}); err != nil || got.GetName() != profileName {
			t.Errorf("GetConversationProfile = %v, %v", got, err)
		}
		_, err = r.convs.CreateConversation(r.Context(), &pb.CreateConversationRequest{Parent: parent, ConversationId: "CAunary",
			Conversation: &pb.Conversation{ConversationProfile: profileName}})
		if status.Code(err) != codes.AlreadyExists {
			t.Errorf("the same conversation again: %v; want Google's ALREADY_EXISTS", err)
		}
		if s := r.calls.Stats(); s.Relayed < 6 || s.RelaysRefused != 0 {
			t.Errorf("relayed %d, refused %d; want some and none", s.Relayed, s.RelaysRefused)
		}
	})
}

// A client reaches only what its route names.
func TestScope(t *testing.T) {
	narrow := func(r *call.Route) {
		r.Relay = []string{"Participants", "Conversations/GetConversation", "CreateConversation"}
	}
	inBubble(t, rigConfig{route: narrow, emulator: func(c *emulator.Config) { c.Projects = append(c.Projects, "theirs") }}, func(t *testing.T, r *rig) {
		profiles, err := dialogflow.NewConversationProfilesClient(r.Context(), r.client(testToken)...)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = profiles.Close() }()
		conv, customer, _ := r.conversation("CAscope")
		create := func(parent, profile string) error {
			_, err := r.convs.CreateConversation(r.Context(), &pb.CreateConversationRequest{Parent: parent, Conversation: &pb.Conversation{ConversationProfile: profile}})
			return err
		}
		for name, err := range map[string]error{
			"another project":          create("projects/theirs/locations/global", "projects/theirs/locations/global/conversationProfiles/demo"),
			"another location":         create("projects/local/locations/eu", profileName),
			"another project's name":   create(parent, "projects/theirs/locations/global/conversationProfiles/demo"),
			"all projects":             create("projects/-/locations/global", profileName),
			"another profile":          create(parent, parent+"/conversationProfiles/other"),
			"a way out of the project": create("projects/local/locations/global/../../../theirs", profileName),
			"a method that is not listed": func() error {
				_, err := r.convs.CompleteConversation(r.Context(), &pb.CompleteConversationRequest{Name: conv})
				return err
			}(),
			"a service that is not listed": func() error {
				_, err := profiles.GetConversationProfile(r.Context(), &pb.GetConversationProfileRequest{Name: profileName})
				return err
			}(),
		} {
			if status.Code(err) != codes.PermissionDenied || !strings.HasPrefix(status.Convert(err).Message(), "patchbay: ") {
				t.Errorf("%s: %v; want PERMISSION_DENIED by patchbay", name, err)
			}
		}
		if _, err := r.parts.GetParticipant(r.Context(), &pb.GetParticipantRequest{}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("no name at all: %v; want INVALID_ARGUMENT", err)
		}
		if _, err := r.parts.GetParticipant(r.Context(), &pb.GetParticipantRequest{Name: customer}); err != nil {
			t.Errorf("what is allowed: %v", err)
		}
		if _, err := r.parts.GetParticipant(r.Context(), &pb.GetParticipantRequest{Name: customer + "x"}); status.Code(err) != codes.NotFound {
			t.Errorf("an unknown participant: %v; want Google's NOT_FOUND", err)
		}
	})
}

// Without a route that relays, nothing is relayed, whatever the client proves.
func TestNoRelayByDefault(t *testing.T) {
	inBubble(t, rigConfig{route: func(r *call.Route) { r.Relay = nil }}, func(t *testing.T, r *rig) {
		_, err := r.convs.GetConversation(r.Context(), &pb.GetConversationRequest{Name: parent + "/conversations/CA1"})
		if status.Code(err) != codes.PermissionDenied {
			t.Errorf("a relayed call: %v; want PERMISSION_DENIED", err)
		}
		st := r.open(1, config(parent+"/conversations/CA1/participants/p-1"))
		if err := st.end(); status.Code(err) != codes.PermissionDenied {
			t.Errorf("a stream: %v; want PERMISSION_DENIED", err)
		}
	})
}

func TestAccess(t *testing.T) {
	inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
		for _, token := range []string{"", "another token, which nobody gave", testToken + "x", testToken[:len(testToken)-1]} {
			parts, err := dialogflow.NewParticipantsClient(r.Context(), r.client(token)...)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parts.GetParticipant(r.Context(), &pb.GetParticipantRequest{Name: "x"}); status.Code(err) != codes.Unauthenticated {
				t.Errorf("a call with token %q: %v; want UNAUTHENTICATED", token, err)
			}
			st, err := parts.StreamingAnalyzeContent(r.Context())
			if err == nil {
				_, err = st.Recv()
			}
			if status.Code(err) != codes.Unauthenticated {
				t.Errorf("a stream with token %q: %v; want UNAUTHENTICATED", token, err)
			}
			_ = parts.Close()
		}
		if r.counted(countAccess) != 8 {
			t.Errorf("counted %d refusals; want 8", r.counted(countAccess))
		}
		conn, err := grpc.NewClient("passthrough:///patchbay", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(r.dialer))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if h, err := healthpb.NewHealthClient(conn).Check(r.Context(), &healthpb.HealthCheckRequest{Service: "google.cloud.dialogflow.v2.Participants"}); err != nil || h.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("health without a token = %v, %v", h, err)
		}
		ctx := metadata.AppendToOutgoingContext(r.Context(), "authorization", "Bearer "+testToken)
		for _, method := range []string{"/google.cloud.dialogflow.v2.Agents/GetAgent", "/google.cloud.dialogflow.v2.Participants/StreamingReactiveCompanionSuggestions", "/x.Y/Z"} {
			if err := conn.Invoke(ctx, method, &pb.GetParticipantRequest{}, &pb.Participant{}); status.Code(err) != codes.Unimplemented {
				t.Errorf("%s: %v; want UNIMPLEMENTED", method, err)
			}
		}
		big := &pb.GetParticipantRequest{Name: strings.Repeat("x", 5<<20)}
		if err := conn.Invoke(ctx, pb.Participants_GetParticipant_FullMethodName, big, &pb.Participant{}); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("5 MB: %v; want RESOURCE_EXHAUSTED", err)
		}
		nonsense := metadata.AppendToOutgoingContext(r.Context(), "authorization", "Basic "+testToken)
		if err := conn.Invoke(nonsense, pb.Participants_GetParticipant_FullMethodName, &pb.GetParticipantRequest{}, &pb.Participant{}); status.Code(err) != codes.Unauthenticated {
			t.Errorf("Basic: %v; want UNAUTHENTICATED", err)
		}
	})
}

// While Agent Assist is down, calls fail soon and say so; afterwards they work again.
func TestOutage(t *testing.T) {
	down, err := emulator.ParseFault("down@10s,for=30s")
	if err != nil {
		t.Fatal(err)
	}
	inBubble(t, rigConfig{emulator: func(c *emulator.Config) { c.Faults.Faults = []emulator.Fault{down} }}, func(t *testing.T, r *rig) {
		_, customer, _ := r.conversation("CAdown")
		st := r.open(1, config(customer))
		st.say(15 * time.Second)
		conn, err := grpc.NewClient("passthrough:///patchbay", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(r.dialer), grpc.WithPerRPCCredentials(bearer(testToken)))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		begun := time.Now()
		_, err = pb.NewParticipantsClient(conn).GetParticipant(r.Context(), &pb.GetParticipantRequest{Name: customer})
		if status.Code(err) != codes.Unavailable || time.Since(begun) > time.Second {
			t.Errorf("a call while Google is down: %v after %v; want UNAVAILABLE at once", err, time.Since(begun))
		}
		st.say(45 * time.Second)
		if _, err := r.parts.GetParticipant(r.Context(), &pb.GetParticipantRequest{Name: customer}); err != nil {
			t.Errorf("a call after it: %v", err)
		}
		if err := st.end(); err != nil {
			t.Errorf("the stream that lived through it ended with %v", err)
		}
		if got := words(t, texts(st.finals())); got != st.n {
			t.Errorf("the finals hold %d blocks; want %d", got, st.n)
		}
		r.ledgers(true)
	})
}

// A certificate that a client lists is as good as a token.
func TestCertificates(t *testing.T) {
	ca, caKey := newCA(t)
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig()
	cfg.ClientCA = caFile
	cfg.Clients = []Client{{Account: "by-uri", Certificates: []string{"spiffe://acme/desktop"}}, {Account: "by-name", Certificates: []string{"CN=gateway"}},
		{Account: "by-token", Tokens: []adapter.Secret{testToken}}}
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	env := adaptertest.NewEnv(t, listenerGRPC)
	env.TLS = &tls.Config{Certificates: []tls.Certificate{newCert(t, ca, caKey, "server", "")}}
	sink := adaptertest.NewSink()
	var asked []adapter.RelayRequest
	sink.OnRelay(func(r adapter.RelayRequest) ([]byte, error) {
		asked = append(asked, r)
		return nil, &adapter.StatusError{Code: int(codes.NotFound), Text: "seen"}
	})
	done := make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() { done <- a.Run(ctx, env.Env, sink) }()
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	strange, strangeKey := newCA(t)
	for _, c := range []struct {
		name    string
		cert    *tls.Certificate
		token   string
		account string
		method  adapter.Method
	}{
		{"URI", ref(newCert(t, ca, caKey, "x", "spiffe://acme/desktop")), "", "by-uri", adapter.MethodMTLS},
		{"subject", ref(newCert(t, ca, caKey, "gateway", "")), "", "by-name", adapter.MethodMTLS},
		{"token over TLS", nil, testToken, "by-token", adapter.MethodToken},
		{"token beside a certificate", ref(newCert(t, ca, caKey, "gateway", "")), testToken, "by-token", adapter.MethodToken},
		{"unknown name", ref(newCert(t, ca, caKey, "stranger", "")), "", "", ""},
		{"nothing", nil, "", "", ""},
		{"of another CA", ref(newCert(t, strange, strangeKey, "gateway", "")), "", "", ""},
	} {
		asked = nil
		own := &tls.Config{RootCAs: pool, ServerName: "server"}
		if c.cert != nil {
			own.Certificates = []tls.Certificate{*c.cert}
		}
		conn, err := grpc.NewClient(env.Addr(listenerGRPC), grpc.WithTransportCredentials(credentials.NewTLS(own)))
		if err != nil {
			t.Fatal(err)
		}
		call := ctx
		if c.token != "" {
			call = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.token)
		}
		err = conn.Invoke(call, pb.Participants_GetParticipant_FullMethodName, &pb.GetParticipantRequest{Name: "x"}, &pb.Participant{})
		switch {
		case c.account == "" && (status.Code(err) != codes.Unauthenticated && status.Code(err) != codes.Unavailable || len(asked) > 0):
			t.Errorf("%s: %v and %d calls; want a refusal", c.name, err, len(asked))
		case c.account != "" && (len(asked) != 1 || asked[0].Principal != adapter.Principal{Account: c.account, Method: c.method}):
			t.Errorf("%s: %v, asked %+v; want account %s by %s", c.name, err, asked, c.account, c.method)
		}
		_ = conn.Close()
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
}

func ref[T any](v T) *T { return &v }

func newCA(t *testing.T) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return ca, key
}

func newCert(t *testing.T, ca *x509.Certificate, caKey *ecdsa.PrivateKey, name, uri string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	if uri != "" {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = []*url.URL{u}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, &key.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		key    string
	}{
		"nobody":            {func(c *Config) { c.Clients = nil }, "clients"},
		"no proof":          {func(c *Config) { c.Clients[0].Tokens = nil }, "clients[0]"},
		"a short token":     {func(c *Config) { c.Clients[0].Tokens[0] = "short" }, "clients[0].tokens[0]"},
		"one token for two": {func(c *Config) { c.Clients = append(c.Clients, Client{Account: "b", Tokens: c.Clients[0].Tokens}) }, "clients[1].tokens[0]"},
		"one account twice": {func(c *Config) {
			c.Clients = append(c.Clients, Client{Account: testAccount, Tokens: []adapter.Secret{testToken + "2"}})
		}, "clients[1].account"},
		"no CA":      {func(c *Config) { c.Clients[0].Certificates = []string{"x"} }, "client_ca"},
		"no file":    {func(c *Config) { c.ClientCA = "/nowhere/ca.pem" }, "client_ca"},
		"no streams": {func(c *Config) { c.Limits.MaxStreams = 0 }, "limits.max_streams"},
		"no time":    {func(c *Config) { c.Limits.SendTimeout = 0 }, "limits.send_timeout"},
	} {
		cfg := testConfig()
		c.change(&cfg)
		err := cfg.Validate()
		if err == nil || !strings.HasPrefix(err.Error(), c.key+" ") && !strings.HasPrefix(err.Error(), c.key+":") {
			t.Errorf("%s: %v; want a problem of %s", name, err, c.key)
		}
	}
	if err := testConfig().Validate(); err != nil {
		t.Error(err)
	}
}
