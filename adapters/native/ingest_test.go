package native

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	ingestpb "github.com/patchbay/patchbay/adapters/native/proto/patchbay/ingest/v1"
	"github.com/patchbay/patchbay/core/emulator"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

// ingestCall is a stream of patchbay.ingest.v1 and what came back.
type ingestCall struct {
	*testing.T
	ingestpb.Ingest_StreamClient
	done chan struct{}
	got  []*ingestpb.StreamResponse // read it after done
	err  error
}

func (r *rig) ingest(first ...*ingestpb.StreamRequest) *ingestCall {
	r.Helper()
	conn, err := grpc.NewClient("passthrough:///patchbay", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(r.dialer), grpc.WithPerRPCCredentials(bearer(testToken)))
	if err != nil {
		r.Fatal(err)
	}
	st, err := ingestpb.NewIngestClient(conn).Stream(context.Background())
	if err != nil {
		r.Fatal(err)
	}
	c := &ingestCall{T: r.T, Ingest_StreamClient: st, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		for {
			m, err := st.Recv()
			if err != nil {
				c.err = err
				_ = conn.Close()
				return
			}
			c.got = append(c.got, m)
		}
	}()
	for _, m := range first {
		c.send(m)
	}
	return c
}

func (c *ingestCall) send(m *ingestpb.StreamRequest) {
	c.Helper()
	if err := ignoreEOF(c.Send(m)); err != nil {
		c.Fatal(err)
	}
}

func (c *ingestCall) audio(track string, b []byte) {
	c.send(&ingestpb.StreamRequest{Request: &ingestpb.StreamRequest_Audio{Audio: &ingestpb.Audio{Track: track, Payload: b}}})
}

// wait returns what the stream ended with; nil for OK.
func (c *ingestCall) wait() error {
	<-c.done
	if errors.Is(c.err, io.EOF) {
		return nil
	}
	return c.err
}

func opening(call string) *ingestpb.StreamRequest {
	return &ingestpb.StreamRequest{Request: &ingestpb.StreamRequest_Open{Open: &ingestpb.Open{Call: call, To: "+15550100", Results: true,
		Attributes: map[string]string{"queue": "billing"}, Aliases: []string{"session-1"}}}}
}

func trackOf(name string, role ingestpb.Role, e ingestpb.Encoding, rate int32) *ingestpb.StreamRequest {
	return &ingestpb.StreamRequest{Request: &ingestpb.StreamRequest_Track{Track: &ingestpb.Track{Track: name, Role: role, Encoding: e, SampleRateHertz: rate}}}
}

var closing = &ingestpb.StreamRequest{Request: &ingestpb.StreamRequest_Close{Close: &ingestpb.Close{}}}

// A whole call: both speakers on one stream, their words and the help for the agent back.
func TestIngest(t *testing.T) {
	inBubble(t, rigConfig{emulator: func(c *emulator.Config) { c.Recognizer = nil }}, func(t *testing.T, r *rig) {
		c := r.ingest(opening("call-1"),
			trackOf("customer", ingestpb.Role_ROLE_CUSTOMER, ingestpb.Encoding_ENCODING_MULAW, 8000),
			trackOf("agent", ingestpb.Role_ROLE_AGENT, ingestpb.Encoding_ENCODING_LINEAR16, 8000))
		// Tone words on one track, blocks on the other.
		words := media.AppendEncoded(nil, media.MuLaw, probe.AppendTones(nil, 8000, "amber", "river"))
		var n uint32
		for i := range 150 {
			time.Sleep(100 * time.Millisecond)
			customer := make([]byte, 800)
			for j := range customer {
				customer[j] = media.Telephony.Silence()
			}
			if at := i * 800; at < len(words) {
				copy(customer, words[at:])
			}
			c.audio("customer", customer)
			var b []byte
			for range 5 {
				b = probe.AppendBlock(b, 2, n)
				n++
			}
			linear := media.AppendEncoded(nil, media.Linear16, media.AppendLinear(nil, media.MuLaw, b))
			c.audio("agent", linear)
		}
		c.send(&ingestpb.StreamRequest{Request: &ingestpb.StreamRequest_Note{Note: &ingestpb.Note{Kind: ingestpb.Note_KIND_DTMF, Text: "1#"}}})
		c.send(&ingestpb.StreamRequest{Request: &ingestpb.StreamRequest_Note{Note: &ingestpb.Note{Kind: ingestpb.Note_KIND_ATTRIBUTES, Attributes: map[string]string{"mood": "fine"}}}})
		c.send(closing)
		if err := c.wait(); err != nil {
			t.Fatal(err)
		}
		if c.got[0].GetOpened() == nil {
			t.Errorf("the first answer is %v; want opened", c.got[0])
		}
		last := c.got[len(c.got)-1].GetClosed()
		if last == nil || len(last.GetReceived()) != 2 || last.GetReceived()[0].GetSamples() != 150*800 || last.GetReceived()[1].GetSamples() != 150*800 {
			t.Errorf("the last answer is %v; want closed with the account of both tracks", c.got[len(c.got)-1])
		}
		var said string
		heard := map[ingestpb.Role]int{}
		messages, suggestions := 0, 0
		for _, m := range c.got {
			if tr := m.GetTranscript(); tr.GetFinal() {
				heard[tr.GetRole()]++
				if tr.GetTrack() == "customer" {
					said += tr.GetText()
				}
				if at := tr.GetOffset().AsDuration(); at <= 0 || at > 15*time.Second {
					t.Errorf("a final at %v", at)
				}
				if tr.GetEnd().AsTime().Before(tr.GetStart().AsTime()) {
					t.Errorf("a final ends before it begins: %v", tr)
				}
			}
			if m.GetMessage() != nil {
				messages++
			}
			if m.GetSuggestion() != nil {
				suggestions++
			}
		}
		if said != "amber river" || heard[ingestpb.Role_ROLE_AGENT] == 0 || messages == 0 {
			t.Errorf("the customer said %q, finals %v, %d messages, %d suggestions", said, heard, messages, suggestions)
		}
		time.Sleep(time.Minute)
		r.ledgers(true)
		info := r.calls.Calls()[0].Info()
		if info.Attributes["queue"] != "billing" || info.Attributes["mood"] != "fine" {
			t.Errorf("attributes %v", info.Attributes)
		}
		if _, ok := r.calls.Find("session-1"); !ok {
			t.Error("the call is not found by its alias")
		}
		got, err := r.convs.GetConversation(r.Context(), &pb.GetConversationRequest{Name: info.Conversation})
		if err != nil || got.GetLifecycleState() != pb.Conversation_COMPLETED || !strings.HasSuffix(got.GetName(), "/call-1") {
			t.Errorf("the conversation is %v, %v; want call-1, completed", got, err)
		}
	})
}

func TestIngestPause(t *testing.T) {
	inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
		c := r.ingest(opening("call-2"), trackOf("customer", ingestpb.Role_ROLE_CUSTOMER, ingestpb.Encoding_ENCODING_MULAW, 8000))
		c.audio("customer", make([]byte, 800))
		synctest.Wait()
		if err := r.calls.Calls()[0].Pause("card data"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := r.calls.Calls()[0].Resume("done"); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if err := c.wait(); err != nil {
			t.Fatal(err)
		}
		var orders []ingestpb.Order_Kind
		for _, m := range c.got {
			if o := m.GetOrder(); o != nil {
				orders = append(orders, o.GetKind())
			}
		}
		if len(orders) != 2 || orders[0] != ingestpb.Order_KIND_PAUSE || orders[1] != ingestpb.Order_KIND_RESUME {
			t.Errorf("orders %v; want pause and resume", orders)
		}
	})
}

func TestIngestRefusals(t *testing.T) {
	inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
		good := trackOf("t", ingestpb.Role_ROLE_CUSTOMER, ingestpb.Encoding_ENCODING_MULAW, 8000)
		audio := func(m *ingestpb.Audio) *ingestpb.StreamRequest {
			return &ingestpb.StreamRequest{Request: &ingestpb.StreamRequest_Audio{Audio: m}}
		}
		for name, c := range map[string]struct {
			say   []*ingestpb.StreamRequest
			words string
		}{
			"no open":         {[]*ingestpb.StreamRequest{good}, "must be open"},
			"no call":         {[]*ingestpb.StreamRequest{opening("")}, "open.call"},
			"two opens":       {[]*ingestpb.StreamRequest{opening("two"), opening("two")}, "second time"},
			"unknown track":   {[]*ingestpb.StreamRequest{opening("unknown"), audio(&ingestpb.Audio{Track: "x", Payload: make([]byte, 160)})}, "no track message"},
			"no format":       {[]*ingestpb.StreamRequest{opening("format"), trackOf("t", 1, 0, 8000)}, "track"},
			"a strange rate":  {[]*ingestpb.StreamRequest{opening("rate"), trackOf("t", 1, 1, 1)}, "track"},
			"back in time":    {[]*ingestpb.StreamRequest{opening("back"), good, audio(&ingestpb.Audio{Track: "t", Payload: make([]byte, 160)}), audio(&ingestpb.Audio{Track: "t", Payload: make([]byte, 160), Position: proto.Int64(5)})}, "lies before"},
			"a track no name": {[]*ingestpb.StreamRequest{opening("name"), trackOf("", 1, 1, 8000)}, "printable"},
		} {
			st := r.ingest(c.say...)
			if err := st.wait(); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), c.words) {
				t.Errorf("%s: %v; want INVALID_ARGUMENT and %q", name, err, c.words)
			}
		}
		st := r.ingest(opening("odd"), good, audio(&ingestpb.Audio{Track: "t", Payload: make([]byte, 160)}),
			audio(&ingestpb.Audio{Track: "t", Payload: make([]byte, 160), Position: proto.Int64(1600)}), closing) // a tenth of a second is lost
		if err := st.wait(); err != nil {
			t.Fatal(err)
		}
		for _, c := range r.calls.Calls() {
			if i := c.Info(); i.Key == "ingest:odd" && i.Tracks[0].Ledger.Lost != 1440 {
				t.Errorf("lost %d samples; want 1440", i.Tracks[0].Ledger.Lost)
			}
		}
	})
}
