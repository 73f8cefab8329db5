package five9

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/patchbay/patchbay/adapters/five9/sim"
	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/adapter/adaptertest"
	"github.com/patchbay/patchbay/core/adapter/certfile"
)

// withTLS serves with a certificate of an authority.
func withTLS(t *testing.T, ca *adaptertest.Authority) func(*adapter.Env) {
	t.Helper()
	cert, key := ca.Sign("server")
	return func(env *adapter.Env) {
		var err error
		if env.TLS, err = certfile.Config(cert, key, env.Log); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOnePort serves streams and webhooks on the same port: with TLS and without, and
// webhooks by HTTP/1.1 and HTTP/2.
func TestOnePort(t *testing.T) {
	ca := adaptertest.NewAuthority(t)
	for _, c := range []struct {
		name   string
		client *tls.Config
	}{
		{"without TLS", nil},
		{"with TLS", &tls.Config{RootCAs: ca.Pool}},
	} {
		t.Run(c.name, func(t *testing.T) {
			scheme := "http"
			var change []func(*adapter.Env)
			if c.client != nil {
				scheme, change = "https", append(change, withTLS(t, ca))
			}
			b := run(t, testConfig(), change...)
			conn, err := sim.Dial(b.addr(), c.client)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			s, err := sim.OpenStream(t.Context(), conn, sim.StreamOptions{Config: config()})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Vanish()
			for _, major := range []int{1, 2} {
				client := webClient(c.client, major)
				defer client.CloseIdleConnections()
				for range 3 { // on one connection
					proto, err := get(client, scheme+"://"+b.addr()+"/five9/main")
					if err != nil || proto != major {
						t.Errorf("a webhook by HTTP/%d: %v, by HTTP/%d", major, err, proto)
					}
				}
			}
		})
	}
}

// webClient returns a client that speaks one version of HTTP.
func webClient(t *tls.Config, major int) *http.Client {
	p := new(http.Protocols)
	p.SetHTTP1(major == 1)
	p.SetHTTP2(major == 2)
	p.SetUnencryptedHTTP2(major == 2)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: t, Protocols: p}}
}

func get(client *http.Client, url string) (major int, err error) {
	res, err := client.Get(url)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, res.Body)
	if err = errors.Join(err, res.Body.Close()); res.StatusCode != http.StatusOK {
		err = errors.Join(err, errors.New(res.Status))
	}
	return res.ProtoMajor, err
}

// TestClientCertificates asks streams for a certificate, and nobody else.
func TestClientCertificates(t *testing.T) {
	ours, theirs := adaptertest.NewAuthority(t), adaptertest.NewAuthority(t)
	cfg := testConfig()
	cfg.ClientCA = ours.File
	b := run(t, cfg, withTLS(t, ours))
	for _, c := range []struct {
		name string
		show []tls.Certificate
		want codes.Code
	}{
		{"ours", []tls.Certificate{ours.Certificate("client")}, codes.OK},
		{"none", nil, codes.Unauthenticated},
		{"somebody else's", []tls.Certificate{theirs.Certificate("client")}, codes.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := sim.Dial(b.addr(), &tls.Config{RootCAs: ours.Pool, Certificates: c.show})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			s, err := sim.OpenStream(t.Context(), conn, sim.StreamOptions{Config: config()})
			if err == nil {
				s.Vanish()
			}
			got := status.Code(err)
			if e, ok := errors.AsType[*sim.StreamError](err); ok {
				got = e.Code
			}
			if got != c.want {
				t.Errorf("the stream was told %v; want %v", err, c.want)
			}
		})
	}
	web := webClient(&tls.Config{RootCAs: ours.Pool}, 1)
	defer web.CloseIdleConnections()
	if _, err := get(web, "https://"+b.addr()+"/five9/main"); err != nil {
		t.Errorf("a webhook without a certificate: %v", err)
	}
}

func TestClientCertificatesNeedTLS(t *testing.T) {
	cfg := testConfig()
	cfg.ClientCA = adaptertest.NewAuthority(t).File
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b := run(t, testConfig())
	err = a.Run(t.Context(), adapter.Env{Log: b.env.Log, Count: b.env.Count, Listen: func(string) (net.Listener, error) {
		return net.Listen("tcp", "127.0.0.1:0")
	}}, b.sink)
	if adapter.KindOf(err) != adapter.KindConfig {
		t.Errorf("Run = %v; want a mistake in the configuration", err)
	}
}

// TestSideServices are what operators look at a gRPC server with.
func TestSideServices(t *testing.T) {
	for _, on := range []bool{true, false} {
		cfg := testConfig()
		cfg.Reflection = on
		b := run(t, cfg)
		for _, service := range []string{"", "five9.voicestream.Voice"} {
			r, err := healthpb.NewHealthClient(b.conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
			if err != nil || r.GetStatus() != healthpb.HealthCheckResponse_SERVING {
				t.Errorf("health of %q: %v, %v", service, r, err)
			}
		}
		if got := reflects(t.Context(), b.conn); got != on {
			t.Errorf("reflection: %v answers %v", on, got)
		}
	}
}

func reflects(ctx context.Context, conn *grpc.ClientConn) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		return false
	}
	_ = c.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "five9.voicestream.Voice"}})
	r, err := c.Recv()
	return err == nil && r.GetFileDescriptorResponse() != nil
}

// TestConnectionsAreBounded closes connections that are too many, and takes new ones
// when others have gone.
func TestConnectionsAreBounded(t *testing.T) {
	cfg := testConfig()
	cfg.Limits.MaxConnections = 1
	b := run(t, cfg)
	first, err := net.Dial("tcp", b.addr())
	if err != nil {
		t.Fatal(err)
	}
	second, err := net.Dial("tcp", b.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	b.wantCount(t, countFull, 1)
	if n, err := second.Read(make([]byte, 1)); err == nil {
		t.Errorf("the second connection got %d bytes; want its end", n)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	b.wantCount(t, countDoor, 1)
	b.open(t, config())
}

// rw is a connection whose other end has said all it says.
type rw struct {
	io.Reader
	said bytes.Buffer
}

func (c *rw) Write(p []byte) (int, error) { return c.said.Write(p) }

// opening is what a client of HTTP/2 begins with.
func opening(t testing.TB, contentType string, frames ...func(*http2.Framer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString(http2.ClientPreface)
	f := http2.NewFramer(&b, nil)
	for _, write := range append([]func(*http2.Framer) error{
		func(f *http2.Framer) error { return f.WriteSettings() },
	}, append(frames, func(f *http2.Framer) error {
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: headers(contentType)})
	})...) {
		if err := write(f); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// headers is the block of a request's headers.
func headers(contentType string) []byte {
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for _, f := range []hpack.HeaderField{{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: "/"}, {Name: "content-type", Value: contentType}} {
		if f.Value != "" {
			_ = e.WriteField(f) // a buffer takes everything
		}
	}
	return block.Bytes()
}

func TestSniff(t *testing.T) {
	ack := func(f *http2.Framer) error { return f.WriteSettingsAck() }
	window := func(f *http2.Framer) error { return f.WriteWindowUpdate(0, 65535) }
	for _, c := range []struct {
		name       string
		in         []byte
		rpc, acked bool
		bad        bool
	}{
		{"gRPC", opening(t, "application/grpc"), true, true, false},
		{"gRPC that answers first", opening(t, "application/grpc+proto", window, ack), true, true, false},
		{"a webhook", opening(t, "application/json", window), false, true, false},
		{"no content type", opening(t, ""), false, true, false},
		{"HTTP/1.1", []byte("POST /five9/main HTTP/1.1\r\n"), false, false, false},
		{"a method like the preface", []byte("PRINT / HTTP/1.1\r\n"), false, false, false},
		{"nothing", nil, false, false, true},
		{"half a preface", []byte(http2.ClientPreface[:20]), false, false, true},
		{"a preface and no more", []byte(http2.ClientPreface), false, false, true},
		{"a frame that is too long", append([]byte(http2.ClientPreface), 0xff, 0xff, 0xff, 4, 0, 0, 0, 0, 0), false, false, true},
		{"endless pings", append([]byte(http2.ClientPreface), bytes.Repeat(append([]byte{0, 0, 8, 6, 0, 0, 0, 0, 0}, make([]byte, 8)...), 10_000)...), false, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := &rw{Reader: bytes.NewReader(c.in)}
			said, rpc, acked, err := sniff(conn)
			if (err != nil) != c.bad || rpc != c.rpc || acked != c.acked {
				t.Fatalf("sniff = %v, %v, %v; want %v, %v, an error: %v", rpc, acked, err, c.rpc, c.acked, c.bad)
			}
			rest, _ := io.ReadAll(conn.Reader)
			if err == nil && !bytes.Equal(append(said, rest...), c.in) {
				t.Errorf("%d bytes are kept of %d", len(said)+len(rest), len(c.in))
			}
		})
	}
}

// TestAckFilter takes the first acknowledgement out, and nothing else, however the
// bytes are cut.
func TestAckFilter(t *testing.T) {
	ack := []byte{0, 0, 0, 4, 1, 0, 0, 0, 0}
	window := []byte{0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	preface := []byte(http2.ClientPreface)
	in, want := join(preface, settings, window, ack, window, ack, window), join(preface, settings, window, window, ack, window)
	for size := 1; size < 40; size++ {
		f := &ackFilter{r: bytes.NewReader(in), left: int64(len(preface))}
		var got []byte
		for b := make([]byte, size); ; {
			n, err := f.Read(b)
			got = append(got, b[:n]...)
			if err != nil {
				break
			}
		}
		if !bytes.Equal(got, want) {
			t.Errorf("read %d bytes at a time:\n% x\nwant\n% x", size, got, want)
		}
	}
}
