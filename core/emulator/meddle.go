package emulator

import (
	"context"
	"slices"
	"strconv"
	"time"

	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/durationpb"
)

// unknownKind and unknownField are of no version of the API.
const (
	unknownKind  = pb.StreamingRecognitionResult_MessageType(99)
	unknownField = protowire.Number(9999)
)

// meddler stands between a session and its wire and does to the stream what the
// standing faults say. The session's goroutine alone uses it.
type meddler struct {
	f            *faults
	out          output
	conversation string // id
	role         string
	stream       int                  // number of the participant's stream, from 1
	heard        func() time.Duration // audio so far
	key          string               // of draws

	fates map[int]*fate // of faults that strike once a stream, by order
	seen  map[int]int   // occasions so far, by order

	lastEnd time.Duration // furthest end of a result, as it was heard
	late    []lateResponse
	last    [lanes]time.Time // when the newest response of each lane is due
	timer   *time.Timer      // at the first of late
}

// fate is what a stream drew for one order.
type fate struct {
	at   time.Duration
	over bool // it struck, or will not
}

// lane orders late responses: what is in one is not sent before what was put into
// it, or into one above, earlier.
type lane int

const (
	laneResults lane = iota
	laneMessages
	laneSuggestions
	lanes
)

type lateResponse struct {
	due  time.Time
	send func() error
}

func (s *Server) meddler(p *participant, stream int, out output, heard func() time.Duration) *meddler {
	m := &meddler{
		f: s.faults, out: out, conversation: p.conv.ids[0], role: p.role.String(), stream: stream, heard: heard,
		fates: map[int]*fate{}, seen: map[int]int{}, timer: time.NewTimer(time.Hour),
	}
	m.timer.Stop()
	m.key = m.conversation + "/" + m.role + "/" + strconv.Itoa(stream)
	return m
}

func (o *order) meets(m *meddler) bool {
	return (o.Conversation == "" || o.Conversation == m.conversation) && (o.Role == "" || o.Role == m.role) && (o.Stream == 0 || o.Stream == m.stream)
}

// strikes returns the first fault of a kind that strikes at this occasion, or nil.
func (m *meddler) strikes(k FaultKind) *order {
	for _, o := range *m.f.standing.Load() {
		if o.Kind != k || !o.meets(m) || m.heard() < o.At.From || o.At.To > 0 && m.heard() > o.At.To {
			continue
		}
		n := m.seen[o.id]
		m.seen[o.id]++
		if o.lucky(m.f.seed.Load(), m.key, n) && m.f.strike(o) {
			return o
		}
	}
	return nil
}

// slow returns the fault by which a message of audio is read late, or nil.
func (m *meddler) slow(in input) *order {
	if in.err != nil {
		return nil
	}
	return m.strikes(FaultSlowRead)
}

// delay is how much later a response comes, in real time.
func (m *meddler) delay(kinds ...FaultKind) (d time.Duration) {
	for _, k := range append(kinds, FaultSlowSend) {
		if o := m.strikes(k); o != nil {
			d += m.f.real(o.For)
		}
	}
	return d
}

func (m *meddler) recognised(r *pb.StreamingRecognitionResult) error {
	if r.GetMessageType() != pb.StreamingRecognitionResult_TRANSCRIPT {
		return m.put(laneResults, m.delay(), func() error { return m.out.recognised(r) })
	}
	send := func() error { return m.out.recognised(r) }
	m.lastEnd = max(m.lastEnd, r.GetSpeechEndOffset().AsDuration())
	if !r.GetIsFinal() {
		if m.strikes(FaultDropInterim) != nil {
			return nil
		}
		return m.put(laneResults, m.delay(), send)
	}
	if m.strikes(FaultUnknownResult) != nil {
		if err := m.put(laneResults, m.delay(), func() error { return m.out.recognised(unknownResult()) }); err != nil {
			return err
		}
	}
	times := m.times(FaultDropFinal, FaultDuplicateFinal)
	if times == 0 {
		return nil
	}
	m.contradict(r)
	return m.putTimes(times, laneResults, m.delay(FaultDelayFinal), send)
}

// times is how often a response is sent.
func (m *meddler) times(drop, duplicate FaultKind) int {
	switch {
	case m.strikes(drop) != nil:
		return 0
	case m.strikes(duplicate) != nil:
		return 2
	}
	return 1
}

// contradict gives a final an end that cannot be.
func (m *meddler) contradict(r *pb.StreamingRecognitionResult) {
	if o := m.strikes(FaultOffsetBeyond); o != nil {
		r.SpeechEndOffset = durationpb.New(m.heard() + o.For)
	}
	if o := m.strikes(FaultOffsetBack); o != nil {
		r.SpeechEndOffset = durationpb.New(max(0, m.lastEnd-o.For))
	}
}

func unknownResult() *pb.StreamingRecognitionResult {
	r := &pb.StreamingRecognitionResult{MessageType: unknownKind, Transcript: "?", IsFinal: true}
	r.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, unknownField, protowire.BytesType), "?"))
	return r
}

func (m *meddler) analysed(msg *pb.Message, human, endUser []*pb.SuggestionResult) error {
	times := m.times(FaultDropMessage, FaultDuplicateMessage)
	if o := m.strikes(FaultSuggestionError); o != nil {
		human, endUser = failing(human, o), failing(endUser, o)
	}
	suggestions := len(human)+len(endUser) > 0
	var late, later time.Duration
	if times > 0 {
		late = m.delay(FaultDelayMessage)
	}
	if suggestions {
		later = m.delay(FaultDelaySuggestions)
	}
	if times == 1 && late+later == 0 && len(m.late) == 0 {
		return m.out.analysed(msg, human, endUser) // in one response, where the stream does so
	}
	if err := m.putTimes(times, laneMessages, late, func() error { return m.out.analysed(msg, nil, nil) }); err != nil || !suggestions {
		return err
	}
	return m.put(laneSuggestions, later, func() error { return m.out.analysed(nil, human, endUser) })
}

func failing(list []*pb.SuggestionResult, o *order) (out []*pb.SuggestionResult) {
	for range list {
		out = append(out, &pb.SuggestionResult{SuggestionResponse: &pb.SuggestionResult_Error{Error: &spb.Status{
			Code: int32(o.Code), Message: "no suggestion [fault " + string(o.Kind) + "]",
		}}})
	}
	return out
}

func (m *meddler) putTimes(n int, l lane, late time.Duration, send func() error) error {
	for range n {
		if err := m.put(l, late, send); err != nil {
			return err
		}
	}
	return nil
}

// put sends a response now or, when it or one that it must not overtake is late,
// later, by flush or drain.
func (m *meddler) put(l lane, late time.Duration, send func() error) error {
	now := time.Now()
	due := now.Add(late)
	for _, t := range m.last[:l+1] {
		if t.After(due) {
			due = t
		}
	}
	if !due.After(now) {
		return send()
	}
	m.last[l] = due
	i, _ := slices.BinarySearchFunc(m.late, due, func(r lateResponse, t time.Time) int {
		if r.due.After(t) {
			return 1
		}
		return -1 // behind those that are due at the same time
	})
	m.late = slices.Insert(m.late, i, lateResponse{due, send})
	m.timer.Reset(time.Until(m.late[0].due))
	return nil
}

// flush sends what is due.
func (m *meddler) flush() error {
	for len(m.late) > 0 && !m.late[0].due.After(time.Now()) {
		send := m.late[0].send
		m.late = slices.Delete(m.late, 0, 1)
		if err := send(); err != nil {
			return err
		}
	}
	if len(m.late) > 0 {
		m.timer.Reset(time.Until(m.late[0].due))
	}
	return nil
}

// drain sends everything, each at its time. ctx bounds the wait.
func (m *meddler) drain(ctx context.Context, outage <-chan struct{}) error {
	for len(m.late) > 0 {
		select {
		case <-m.timer.C:
			if err := m.flush(); err != nil {
				return err
			}
		case <-outage:
			return errDown()
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
	return nil
}
