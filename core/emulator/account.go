package emulator

import (
	"slices"

	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"

	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

// Account is the emulator's own count of what it received, to be held against
// the sender's and the ledger's.
type Account struct {
	Conversations []ConversationAccount `json:"conversations"`
	Faults        map[FaultKind]int     `json:"faults,omitempty"` // how often each kind struck
}

// ConversationAccount is what one conversation received.
type ConversationAccount struct {
	Name         string               `json:"name"`
	Completed    bool                 `json:"completed"`
	Messages     int                  `json:"messages"`
	Participants []ParticipantAccount `json:"participants"`
}

// ParticipantAccount is what the streams of one participant received and gave.
// Samples and Bytes count everything that arrived, replays included, but what came
// to a stream that was stuck by order. Finals and Messages count what the emulator
// made; Account.Faults tells what it then dropped or doubled.
type ParticipantAccount struct {
	Name    string `json:"name"`
	Role    string `json:"role"`    // HUMAN_AGENT, END_USER…
	Streams int    `json:"streams"` // opened so far
	// Languages are those of its streams, in order, as BCP 47 tags; the first keptLanguages of them.
	Languages []string       `json:"languages,omitempty"`
	Samples   int64          `json:"samples"`
	Bytes     int64          `json:"bytes"`
	Finals    int            `json:"finals"`   // final recognition results
	Messages  int            `json:"messages"` // stored by its streams and AnalyzeContent
	Blocks    []BlockAccount `json:"blocks,omitempty"`
}

// BlockAccount sums up the coded blocks of one source that a participant heard.
type BlockAccount struct {
	Stream     uint16 `json:"stream"`     // probe.Block.Stream
	Distinct   int    `json:"distinct"`   // different numbers
	Duplicates int    `json:"duplicates"` // heard again
	Missing    int    `json:"missing"`    // between First and Last, never heard
	First      uint32 `json:"first"`
	Last       uint32 `json:"last"`
	Beyond     int    `json:"beyond,omitempty"` // heard with a number too high to be kept
}

// books are the running counts of a participant.
type books struct {
	streams, finals, messages int
	samples, bytes            int64
	languages                 []string
	blocks                    []*blockBook
	decoder                   *probe.Decoder // left by the last stream: a block may be cut by the hand-over
	format                    media.Format   // that decoder has been fed with
}

// Bounds of the books: about 5.8 hours of blocks from each of 8 sources.
const (
	maxBlockNumber = 1 << 20
	maxBlockBooks  = 8
	keptLanguages  = 256
)

type blockBook struct {
	stream uint16
	counts []uint8 // by block number; stays at 255
	beyond int
}

// opened counts a stream.
func (b *books) opened(language string) {
	b.streams++
	if len(b.languages) < keptLanguages {
		b.languages = append(b.languages, language)
	}
}

// heard counts one block.
func (b *books) heard(block probe.Block) {
	i := slices.IndexFunc(b.blocks, func(x *blockBook) bool { return x.stream == block.Stream })
	if i < 0 {
		if len(b.blocks) >= maxBlockBooks {
			return
		}
		i = len(b.blocks)
		b.blocks = append(b.blocks, &blockBook{stream: block.Stream})
	}
	book, n := b.blocks[i], int(block.N)
	if n >= maxBlockNumber {
		book.beyond++
		return
	}
	if n >= len(book.counts) {
		book.counts = append(book.counts, make([]uint8, n+1-len(book.counts))...)
	}
	if book.counts[n] < 255 {
		book.counts[n]++
	}
}

func (b *blockBook) account() BlockAccount {
	a := BlockAccount{Stream: b.stream, Beyond: b.beyond}
	for n, count := range b.counts {
		if count == 0 {
			continue
		}
		if a.Distinct == 0 {
			a.First = uint32(n)
		}
		a.Distinct++
		a.Duplicates += int(count) - 1
		a.Last = uint32(n)
	}
	if a.Distinct > 0 {
		a.Missing = int(a.Last-a.First) + 1 - a.Distinct
	}
	return a
}

// Account returns the counts of all conversations that are kept, oldest first.
func (s *Server) Account() Account {
	s.mu.Lock()
	order := slices.Clone(s.order)
	s.mu.Unlock()
	a := Account{Conversations: []ConversationAccount{}, Faults: s.faults.tally()}
	for _, c := range order {
		a.Conversations = append(a.Conversations, c.account())
	}
	return a
}

func (c *conversation) account() ConversationAccount {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := ConversationAccount{Name: c.name, Completed: !c.end.IsZero(), Messages: c.forgotten + len(c.messages)}
	for _, p := range c.participants {
		b := &p.books
		pa := ParticipantAccount{
			Name: p.name, Role: p.role.String(), Streams: b.streams, Samples: b.samples, Bytes: b.bytes,
			Finals: b.finals, Messages: b.messages, Languages: slices.Clone(b.languages),
		}
		for _, book := range b.blocks {
			pa.Blocks = append(pa.Blocks, book.account())
		}
		a.Participants = append(a.Participants, pa)
	}
	return a
}

// Conversation returns the account of a conversation by its id or name, whatever
// the project; ok is false when there is none.
func (a Account) Conversation(id string) (c ConversationAccount, ok bool) {
	for _, c := range a.Conversations {
		r, err := parseName(c.Name, "conversations")
		if c.Name == id || err == nil && r.ids[0] == id {
			return c, true
		}
	}
	return ConversationAccount{}, false
}

// Role returns the accounts of the participants in a role, as HUMAN_AGENT.
func (c ConversationAccount) Role(role string) (list []ParticipantAccount) {
	for _, p := range c.Participants {
		if p.Role == role {
			list = append(list, p)
		}
	}
	return list
}

// Blocks returns how often each coded block was heard from a participant, by its
// full name; nil when it does not exist.
func (s *Server) Blocks(name string) map[probe.Block]int {
	r, err := s.resolve(name, "conversations", "participants")
	if err != nil {
		return nil
	}
	c, err := s.conversationOf(r)
	if err != nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.participants, func(p *participant) bool { return p.id == r.ids[1] }) // gone or not
	if i < 0 {
		return nil
	}
	out := map[probe.Block]int{}
	for _, book := range c.participants[i].books.blocks {
		for n, count := range book.counts {
			if count > 0 {
				out[probe.Block{Stream: book.stream, N: uint32(n)}] = int(count)
			}
		}
	}
	return out
}

// roles that may stream (agent-assist.md §1.2).
func mayStream(r pb.Participant_Role) bool {
	return r == pb.Participant_END_USER || r == pb.Participant_HUMAN_AGENT
}
