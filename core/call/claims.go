package call

import (
	"crypto/rand"
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// claims remembers which conversation ids are taken, in memory. A project is part of
// the id, since ids are unique within one.
type claims struct {
	mu    sync.Mutex
	taken map[string]bool
	order []string // oldest first, to forget
}

// maxClaims bounds the memory of claims; Google keeps completed conversations for
// 30 days, but a vendor's ids do not come back.
const maxClaims = 50_000

func newClaims() *claims { return &claims{taken: make(map[string]bool)} }

// take claims id in project for a new call and returns the id to use: id itself, or
// with the first free suffix "-2", "-3"… when it was claimed before, by whomever: a
// conversation that the vendor's earlier call completed is not opened again.
func (c *claims) take(project, id string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	got := id
	for n := 2; ; n++ {
		if !c.taken[project+"/"+got] {
			break
		}
		suffix := fmt.Sprintf("-%d", n)
		got = id[:min(len(id), maxConversationID-len(suffix))] + suffix
	}
	c.add(project + "/" + got)
	return got
}

// note remembers an id that a trusted peer named: no other call gets it by proposal.
func (c *claims) note(project, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if key := project + "/" + id; !c.taken[key] {
		c.add(key)
	}
}

// add remembers a key. c.mu is held.
func (c *claims) add(key string) {
	if len(c.order) == maxClaims {
		delete(c.taken, c.order[0])
		c.order = c.order[1:]
	}
	c.taken[key] = true
	c.order = append(c.order, key)
}

// maxConversationID and the form are Dialogflow's rule for conversation ids
// (v2beta1 conversation.proto: a letter, then letters, digits, '_' or '-'; 3 to 64).
const maxConversationID = 64

var conversationID = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]{2,63}$`)

// cleanConversationID makes a usable id of what the vendor proposed: unchanged when
// it obeys the rule, else with a letter in front and other characters replaced.
// Without a proposal the id is random.
func cleanConversationID(proposed string) string {
	if proposed == "" {
		return "pb-" + strings.ToLower(rand.Text())
	}
	if conversationID.MatchString(proposed) {
		return proposed
	}
	id := strings.Map(func(r rune) rune {
		if r < 128 && (r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
			return r
		}
		return '-'
	}, "a"+proposed)
	for len(id) < 3 {
		id += "-"
	}
	return id[:min(len(id), maxConversationID)]
}
