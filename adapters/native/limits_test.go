package native

import (
	"testing"
	"testing/synctest"
	"time"

	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/call"
	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

// Who asks for too much is refused; who is served already is not touched.
func TestLimits(t *testing.T) {
	few := func(c *Config) { c.Limits.MaxStreams = 3 }
	inBubble(t, rigConfig{settings: few}, func(t *testing.T, r *rig) {
		conv, customer, agent := r.conversation("CAmany")
		var served []*stream
		for _, p := range []string{customer, agent, r.join(conv, pb.Participant_HUMAN_AGENT)} {
			served = append(served, r.open(uint16(len(served)), config(p)))
			synctest.Wait()
		}
		for range 20 {
			st := r.open(9, config(customer))
			if err := st.end(); status.Code(err) != codes.ResourceExhausted {
				t.Fatalf("a stream too many ended with %v; want RESOURCE_EXHAUSTED", err)
			}
		}
		for _, st := range served {
			st.say(time.Second)
			if err := st.end(); err != nil {
				t.Errorf("a stream that was served ended with %v", err)
			}
		}
	})
}

// The host's refusals reach the client.
func TestHostIsFull(t *testing.T) {
	inBubble(t, rigConfig{limits: func(l *call.Limits) { l.Calls = 1 }}, func(t *testing.T, r *rig) {
		_, first, _ := r.conversation("CA-one")
		_, second, _ := r.conversation("CA-two")
		st := r.open(1, config(first))
		st.say(time.Second)
		refused := r.open(2, config(second))
		if err := refused.end(); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("a call too many ended with %v; want RESOURCE_EXHAUSTED", err)
		}
		if err := st.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestTimeouts(t *testing.T) {
	inBubble(t, rigConfig{settings: func(c *Config) { c.Limits.IdleTimeout = adapter.Duration(time.Minute) }}, func(t *testing.T, r *rig) {
		silent, err := r.parts.StreamingAnalyzeContent(r.Context())
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if _, err := silent.Recv(); status.Code(err) != codes.DeadlineExceeded || time.Since(begun) > time.Duration(DefaultConfigTimeout)+time.Second {
			t.Errorf("a stream that says nothing ended with %v after %v", err, time.Since(begun))
		}
		_, customer, _ := r.conversation("CAidle")
		st := r.open(1, config(customer))
		st.say(time.Second)
		begun = time.Now()
		<-st.done
		if idle := time.Since(begun); status.Code(st.err) != codes.DeadlineExceeded || idle < 50*time.Second || idle > 70*time.Second {
			t.Errorf("a stream that says nothing more ended with %v after %v", st.err, idle)
		}
		time.Sleep(time.Minute)
		r.ledgers(true)
	})
}

// Messages may end within a sample, and be of any size up to the limit; a larger one ends
// its own stream.
func TestOddMessages(t *testing.T) {
	inBubble(t, rigConfig{}, func(t *testing.T, r *rig) {
		_, customer, agent := r.conversation("CAodd")
		first := config(customer)
		first.GetAudioConfig().AudioEncoding = pb.AudioEncoding_AUDIO_ENCODING_LINEAR_16
		st := r.open(1, first)
		var mu []byte
		for n := range uint32(500) {
			mu = probe.AppendBlock(mu, 1, n)
		}
		linear := media.AppendEncoded(nil, media.Linear16, media.AppendLinear(nil, media.MuLaw, mu))
		for size := 1; len(linear) > 0; size = size*7%4001 + 1 {
			n := min(size, len(linear))
			if err := st.Send(&pb.StreamingAnalyzeContentRequest{Input: &pb.StreamingAnalyzeContentRequest_InputAudio{InputAudio: linear[:n]}}); err != nil {
				t.Fatal(err)
			}
			linear = linear[n:]
			time.Sleep(media.Telephony.Duration(int64(n / 2)))
		}
		if err := st.Send(&pb.StreamingAnalyzeContentRequest{}); err != nil { // as some clients do before they half-close
			t.Fatal(err)
		}
		if err := st.end(); err != nil {
			t.Fatal(err)
		}
		r.heardOnce(customer, 1, 500)
		large := r.open(2, config(agent))
		large.say(time.Second)
		if err := ignoreEOF(large.Send(&pb.StreamingAnalyzeContentRequest{Input: &pb.StreamingAnalyzeContentRequest_InputAudio{InputAudio: make([]byte, 5<<20)}})); err != nil {
			t.Fatal(err)
		}
		if err := large.end(); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("5 MB ended with %v; want RESOURCE_EXHAUSTED", err)
		}
		if r.counted(countOversize) != 1 {
			t.Errorf("counted %d; want the message that is too large", r.counted(countOversize))
		}
		time.Sleep(time.Minute)
		r.ledgers(true)
	})
}
