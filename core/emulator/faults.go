package emulator

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	rpccode "google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/codes"
)

// FaultKind names one way to misbehave. Errors that a fault gives end with it, as
// in "… [fault stream-end]".
type FaultKind string

// The faults. Times are emulated time; a stream's are seconds of its audio.
const (
	FaultStreamEnd FaultKind = "stream-end" // a stream ends with Code at the moment; OK: cleanly, with all its results
	FaultCut       FaultKind = "cut"        // the connection of a stream is cut at the moment, with all that it carries
	FaultStuck     FaultKind = "stuck"      // from the moment on a stream hears and answers nothing; after For it ends with Code, without For never
	FaultComplete  FaultKind = "complete"   // at the moment somebody else completes the conversation
	FaultForget    FaultKind = "forget"     // at the moment the participant is gone: NOT_FOUND from then on

	FaultDropInterim      FaultKind = "drop-interim"      // an interim never comes; all of them: a final without interim
	FaultDropFinal        FaultKind = "drop-final"        // a final never comes; its message does
	FaultDropMessage      FaultKind = "drop-message"      // a message is stored and never comes
	FaultLoseMessage      FaultKind = "lose-message"      // a message is neither stored nor sent
	FaultDuplicateFinal   FaultKind = "duplicate-final"   // a final comes twice
	FaultDuplicateMessage FaultKind = "duplicate-message" // a message comes twice, under one name
	FaultDelayFinal       FaultKind = "delay-final"       // a final, and the results behind it, come later by For
	FaultDelayMessage     FaultKind = "delay-message"     // a message, and what is behind it, comes later by For
	FaultDelaySuggestions FaultKind = "delay-suggestions" // suggestions come later by For
	FaultOffsetBeyond     FaultKind = "offset-beyond"     // a final's speech_end_offset is For beyond what was sent
	FaultOffsetBack       FaultKind = "offset-back"       // a final's speech_end_offset is For before the furthest so far
	FaultUnknownResult    FaultKind = "unknown-result"    // a result of a kind and with a field that nobody knows comes before a final
	FaultSuggestionError  FaultKind = "suggestion-error"  // each suggestion holds an error with Code

	FaultSlowRead FaultKind = "slow-read" // a message of audio is read For after the one before it
	FaultSlowSend FaultKind = "slow-send" // a response comes later by For

	FaultRPCError FaultKind = "rpc-error" // a unary RPC fails with Code and does nothing
	FaultRPCLost  FaultKind = "rpc-lost"  // a unary RPC does its work and then fails with Code
	FaultRPCDelay FaultKind = "rpc-delay" // a unary RPC waits for For first

	FaultDown    FaultKind = "down"    // for For every RPC, running streams too, fails with UNAVAILABLE
	FaultRestart FaultKind = "restart" // all connections are cut, and new ones for For; nothing is forgotten
)

// scope is where a kind of fault strikes.
type scope int

const (
	onStream scope = iota // once a stream, at a moment of its audio
	onResult              // at each response or message of a stream, between two moments
	onRPC                 // at each unary RPC
	onServer              // at a moment since the order, and then every Every
)

// need says whether a kind takes a field.
type need int

const (
	no need = iota
	may
	must
)

type traits struct {
	kind   FaultKind
	scope  scope
	code   need
	length need
}

var faultKinds = []traits{
	{FaultStreamEnd, onStream, may, no}, {FaultCut, onStream, no, no}, {FaultStuck, onStream, may, may}, {FaultComplete, onStream, no, no},
	{FaultForget, onStream, no, no},
	{FaultDropInterim, onResult, no, no}, {FaultDropFinal, onResult, no, no}, {FaultDropMessage, onResult, no, no},
	{FaultLoseMessage, onResult, no, no}, {FaultDuplicateFinal, onResult, no, no}, {FaultDuplicateMessage, onResult, no, no},
	{FaultDelayFinal, onResult, no, must}, {FaultDelayMessage, onResult, no, must}, {FaultDelaySuggestions, onResult, no, must},
	{FaultOffsetBeyond, onResult, no, must}, {FaultOffsetBack, onResult, no, must}, {FaultUnknownResult, onResult, no, no},
	{FaultSuggestionError, onResult, must, no}, {FaultSlowRead, onResult, no, must}, {FaultSlowSend, onResult, no, must},
	{FaultRPCError, onRPC, must, no}, {FaultRPCLost, onRPC, must, no}, {FaultRPCDelay, onRPC, no, must},
	{FaultDown, onServer, no, must}, {FaultRestart, onServer, no, may},
}

// FaultKinds lists all kinds.
func FaultKinds() (list []FaultKind) {
	for _, t := range faultKinds {
		list = append(list, t.kind)
	}
	return list
}

func (k FaultKind) traits() (traits, bool) {
	i := slices.IndexFunc(faultKinds, func(t traits) bool { return t.kind == k })
	if i < 0 {
		return traits{}, false
	}
	return faultKinds[i], true
}

// Fault is one order to misbehave. Its text form, in flags, files and the admin
// API, is
//
//	kind[:CODE][@MOMENT][,key=value…]
//
// with the keys for, every, chance, times, method, conversation, role and stream,
// as in "stream-end:UNAVAILABLE@5s-40s,chance=0.3,role=END_USER".
type Fault struct {
	Kind FaultKind
	Code codes.Code
	At   Moment
	For  time.Duration // how long, how late or how far, by Kind; at most MaxFaultTime

	Every  time.Duration // down and restart: again after this long
	Chance float64       // of each occasion, drawn from the plan's seed; 0 is always
	Times  int           // strikes at most this often; 0: no limit

	Method       string // rpc-…: of this RPC alone, as CreateConversation
	Conversation string // in the conversation with this id alone
	Role         string // on streams of this role alone, as END_USER
	Stream       int    // on this stream of a participant alone, counted from 1
}

// Moment is when a fault strikes: at From; if To is later, anywhere between, drawn
// from the seed. Faults of results strike from From on, and until To if it is set.
// Close is the moment of the client's half-close instead.
type Moment struct {
	From, To time.Duration
	Close    bool
}

// MaxFaultTime bounds the lengths and moments of faults.
const MaxFaultTime = 24 * time.Hour

// Validate reports everything that is wrong with an order.
func (f Fault) Validate() error {
	t, ok := f.Kind.traits()
	if !ok {
		return fmt.Errorf("emulator: there is no fault %q; there are %s", f.Kind, joined(FaultKinds()))
	}
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf("emulator: fault %s: "+format, append([]any{f.Kind}, args...)...))
		}
	}
	check(f.Code <= codes.Unauthenticated, "code %d does not exist", f.Code)
	check(t.code != no || f.Code == codes.OK, "it takes no code")
	check(t.code != must || f.Code != codes.OK, "name its code, as in %s:UNAVAILABLE", f.Kind)
	check(t.length != no || f.For == 0, "it takes no time (for)")
	check(t.length != must || f.For != 0, "say how long, as in %s,for=5s", f.Kind)
	check(t.length == no || f.For >= 0 && f.For <= MaxFaultTime, "for is %v; want 0s to %v", f.For, MaxFaultTime)
	check(f.At.valid(), "moment %q; want one like 20s, 5s-40s or close, at most %v", f.At, MaxFaultTime)
	check(t.scope != onRPC || f.At == Moment{}, "it takes no moment")
	check(t.scope == onStream || !f.At.Close, "only faults of streams strike at close")
	check(f.Every == 0 || t.scope == onServer && f.Every > 0 && f.Every <= MaxFaultTime, "every is %v; want 0s to %v, for down and restart alone", f.Every, MaxFaultTime)
	check(f.Chance >= 0 && f.Chance <= 1, "chance is %v; want 0 to 1", f.Chance)
	check(f.Times >= 0, "times is %d; want 0 or more", f.Times)
	check(f.Stream >= 0, "stream is %d; want 0 or more", f.Stream)
	check(f.Method == "" || t.scope == onRPC && unaryMethods()[f.Method], "method %q: only rpc-… takes one, the name of a unary RPC as CreateConversation", f.Method)
	check(f.Conversation == "" || t.scope != onServer && resourceID.MatchString(f.Conversation), "conversation %q: want an id; down and restart take none", f.Conversation)
	streams := t.scope == onStream || t.scope == onResult
	check(f.Stream == 0 || streams, "only faults of streams take stream")
	check(f.Role == "" || streams && (f.Role == "END_USER" || f.Role == "HUMAN_AGENT"), "role %q: want END_USER or HUMAN_AGENT, on faults of streams", f.Role)
	return errors.Join(problems...)
}

func (m Moment) valid() bool {
	return m.From >= 0 && m.From <= MaxFaultTime && m.To <= MaxFaultTime && (m.To == 0 || m.To >= m.From) && (!m.Close || m == Moment{Close: true})
}

// String returns the text form: "", "20s", "5s-40s" or "close".
func (m Moment) String() string {
	switch {
	case m.Close:
		return "close"
	case m.To != 0:
		return m.From.String() + "-" + m.To.String()
	case m.From != 0:
		return m.From.String()
	}
	return ""
}

func parseMoment(text string) (m Moment, err error) {
	if text == "close" {
		return Moment{Close: true}, nil
	}
	from, to, ranged := strings.Cut(text, "-")
	if m.From, err = time.ParseDuration(from); err == nil && ranged {
		m.To, err = time.ParseDuration(to)
	}
	return m, err
}

// String returns the text form.
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(string(f.Kind))
	if f.Code != codes.OK {
		b.WriteString(":" + rpccode.Code(f.Code).String())
	}
	if at := f.At.String(); at != "" {
		b.WriteString("@" + at)
	}
	add := func(key, value, zero string) {
		if value != zero {
			b.WriteString("," + key + "=" + value)
		}
	}
	add("for", f.For.String(), "0s")
	add("every", f.Every.String(), "0s")
	add("chance", strconv.FormatFloat(f.Chance, 'g', -1, 64), "0")
	add("times", strconv.Itoa(f.Times), "0")
	add("method", f.Method, "")
	add("conversation", f.Conversation, "")
	add("role", f.Role, "")
	add("stream", strconv.Itoa(f.Stream), "0")
	return b.String()
}

// ParseFault reads the text form and validates it.
func ParseFault(text string) (Fault, error) {
	fields := strings.Split(text, ",")
	what, at, moment := strings.Cut(strings.TrimSpace(fields[0]), "@")
	kind, code, coded := strings.Cut(what, ":")
	f := Fault{Kind: FaultKind(kind)}
	if coded {
		c, ok := rpccode.Code_value[code]
		if !ok {
			return Fault{}, fmt.Errorf("emulator: fault %.200q: there is no code %q; write it like UNAVAILABLE", text, code)
		}
		f.Code = codes.Code(c)
	}
	if moment {
		var err error
		if f.At, err = parseMoment(at); err != nil {
			return Fault{}, fmt.Errorf("emulator: fault %.200q: moment %q; want one like 20s, 5s-40s or close", text, at)
		}
	}
	for _, field := range fields[1:] {
		key, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		if err := f.set(key, value); err != nil {
			return Fault{}, fmt.Errorf("emulator: fault %.200q: %w", text, err)
		}
	}
	return f, f.Validate()
}

func (f *Fault) set(key, value string) (err error) {
	switch key {
	case "for":
		f.For, err = time.ParseDuration(value)
	case "every":
		f.Every, err = time.ParseDuration(value)
	case "chance":
		f.Chance, err = strconv.ParseFloat(value, 64)
	case "times":
		f.Times, err = strconv.Atoi(value)
	case "stream":
		f.Stream, err = strconv.Atoi(value)
	case "method":
		f.Method = value
	case "conversation":
		f.Conversation = value
	case "role":
		f.Role = value
	default:
		return fmt.Errorf("there is no %q; write for, every, chance, times, method, conversation, role or stream", key)
	}
	if err != nil {
		like := map[string]string{"for": "5s", "every": "1m", "chance": "0.3", "times": "3", "stream": "1"}
		return fmt.Errorf("%s is %q; want a value like %s", key, value, like[key])
	}
	return nil
}

// MarshalText writes the text form.
func (f Fault) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads the text form and validates it.
func (f *Fault) UnmarshalText(text []byte) (err error) {
	*f, err = ParseFault(string(text))
	return err
}

func joined(kinds []FaultKind) string {
	var names []string
	for _, k := range kinds {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}
