package emulator

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/patchbay/patchbay/core/emulator/hear"
	"github.com/patchbay/patchbay/core/emulator/knowledge"
)

// What exists in a server with the default configuration.
const (
	DefaultProject  = "local"
	DefaultLocation = "global"
	DefaultProfile  = "demo"
	DefaultLanguage = "en-US"
)

// Config says how a Server behaves. Start from DefaultConfig.
type Config struct {
	Projects  []string // projects that exist; others get PERMISSION_DENIED
	Locations []string // locations that exist in each project
	Profiles  []string // ids of the conversation profiles that exist in each location
	Language  string   // of those profiles, BCP 47

	// Speed makes emulated time run N times faster than the clock: pacing,
	// durations, limits and quota windows alike. Timestamps stay those of the clock.
	Speed float64

	Off    []Rule // rules that are not enforced
	Quotas bool   // enforce the quotas of Limits; false for load tests
	Limits Limits
	Faults Plan // misbehaviour on demand; none in DefaultConfig

	Recognizer hear.Recognizer // nil: coded blocks, tone words and the bundled recordings
	Knowledge  *knowledge.Base // nil: the built-in base
	Logger     *slog.Logger    // nil: no logging
}

// Limits are the numbers of the rules, in emulated time. The comments name the
// section of the protocol note (agent-assist.md) that each comes from.
type Limits struct {
	Plain    time.Duration // longest plain stream: OUT_OF_RANGE (§1.8)
	Chirp    time.Duration // longest stream with model chirp_3: ABORTED (§1.8)
	Extended time.Duration // longest extended stream: OUT_OF_RANGE (§1.6)
	Bidi     time.Duration // longest bidirectional stream: OUT_OF_RANGE (§1.6)

	ExtendedIdle time.Duration // speechless time after which an extended stream is ended cleanly (§1.6); 0: never
	AudioGap     time.Duration // longest time without audio (§1.7)
	Ahead        time.Duration // audio that a stream may be ahead of real time
	SpeedUp      float64       // pace at which it may catch up on top of Ahead: 1 is real time
	ChunkBytes   int           // audio of one message: 25 KB (§1.6)

	Window       time.Duration // of the quotas of starts (§2)
	StreamStarts int           // StreamingAnalyzeContent and AnalyzeContent a window and project
	ChirpStarts  int           // streams with model chirp_3 a window and project
	BidiStreams  int           // concurrent bidirectional streams a project

	ConversationAge time.Duration // age at which a conversation completes itself (§2)

	// Bounds of memory, which the real service does not have.
	Participants int // in a conversation
	Messages     int // in a conversation; the oldest are forgotten
	Completed    int // completed conversations that are kept; the oldest are forgotten
	Live         int // conversations in progress
	Answers      int // answer records that are kept; the oldest are forgotten
	Profiles     int // conversation profiles
}

// DefaultConfig is the strict server: every rule on, project "local", location
// "global", profile "demo".
func DefaultConfig() Config {
	return Config{
		Projects:  []string{DefaultProject},
		Locations: []string{DefaultLocation},
		Profiles:  []string{DefaultProfile},
		Language:  DefaultLanguage,
		Speed:     1,
		Quotas:    true,
		Limits: Limits{
			Plain: 305 * time.Second, Chirp: 300 * time.Second, Extended: 180 * time.Second, Bidi: 1800 * time.Second,
			AudioGap: 10 * time.Second, Ahead: 60 * time.Second, SpeedUp: 1, ChunkBytes: 25600,
			Window: time.Minute, StreamStarts: 300, ChirpStarts: 20, BidiStreams: 50,
			ConversationAge: 24 * time.Hour,
			Participants:    32, Messages: 10000, Completed: 1000, Live: 10000, Answers: 20000, Profiles: 100,
		},
	}
}

var resourceID = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{0,63}$`)

// Validate reports every problem at once, each by the name of its field.
func (c Config) Validate() error {
	var problems []error
	bad := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("emulator: "+format, args...))
	}
	for field, ids := range map[string][]string{"Projects": c.Projects, "Locations": c.Locations, "Profiles": c.Profiles} {
		if len(ids) == 0 {
			bad("%s is empty; name at least one", field)
		}
		for _, id := range ids {
			if !resourceID.MatchString(id) {
				bad("%s: %q is not an id; use letters, digits, - and _", field, id)
			}
		}
	}
	if c.Language == "" {
		bad("Language is empty; want one like %s", DefaultLanguage)
	}
	if !(c.Speed > 0 && c.Speed <= 1000) {
		bad("Speed is %v; want more than 0, at most 1000", c.Speed)
	}
	for _, r := range c.Off {
		if !slices.Contains(Rules(), r) {
			bad("Off: there is no rule %q; Rules lists them", r)
		}
	}
	l := c.Limits
	for field, d := range map[string]time.Duration{
		"Plain": l.Plain, "Chirp": l.Chirp, "Extended": l.Extended, "Bidi": l.Bidi, "AudioGap": l.AudioGap,
		"Ahead": l.Ahead, "Window": l.Window, "ConversationAge": l.ConversationAge,
	} {
		if d <= 0 {
			bad("Limits.%s is %v; want more than 0", field, d)
		}
	}
	for field, n := range map[string]int{
		"ChunkBytes": l.ChunkBytes, "StreamStarts": l.StreamStarts, "ChirpStarts": l.ChirpStarts, "BidiStreams": l.BidiStreams,
		"Participants": l.Participants, "Messages": l.Messages, "Completed": l.Completed, "Live": l.Live,
		"Answers": l.Answers, "Profiles": l.Profiles,
	} {
		if n <= 0 {
			bad("Limits.%s is %d; want more than 0", field, n)
		}
	}
	if l.SpeedUp < 1 {
		bad("Limits.SpeedUp is %v; want at least 1", l.SpeedUp)
	}
	if l.ExtendedIdle < 0 {
		bad("Limits.ExtendedIdle is %v; want 0 or more", l.ExtendedIdle)
	}
	if err := c.Faults.Validate(); err != nil {
		problems = append(problems, err)
	}
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(problems...)
}

// real returns how long a stretch of emulated time takes on the clock.
func (c Config) real(d time.Duration) time.Duration { return time.Duration(float64(d) / c.Speed) }

// emulated is the inverse of real.
func (c Config) emulated(d time.Duration) time.Duration { return time.Duration(float64(d) * c.Speed) }
