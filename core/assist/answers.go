package assist

import (
	"strconv"
	"sync"
	"time"

	"cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
)

// answers remembers the messages and suggestions of a conversation: to publish
// each once, to say what a suggestion answers, and to take feedback.
type answers struct {
	mu          sync.Mutex
	messages    memory[string, time.Time] // name → when its last audio arrived
	seen        memory[string, struct{}]  // suggestions, by answer record or words
	suggestions memory[string, *answer]   // by our id
	count       int
}

// answer is a suggestion and the feedback on it so far.
type answer struct {
	record   string
	feedback *dialogflowpb.AnswerFeedback
}

// maxRemembered bounds each of the memories; the oldest are forgotten.
const maxRemembered = 4096

func newAnswers() answers {
	return answers{messages: newMemory[string, time.Time](), seen: newMemory[string, struct{}](), suggestions: newMemory[string, *answer]()}
}

// message remembers a stored message; it returns false when it is known already.
func (a *answers) message(name string, heard time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.messages.add(name, heard)
}

// heardAt returns when the audio of a message arrived, or zero.
func (a *answers) heardAt(message string) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.messages.values[message]
}

// suggestion gives a suggestion its id; it returns false when it is known already.
func (a *answers) suggestion(key, record string) (id string, isNew bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.seen.add(key, struct{}{}) {
		return "", false
	}
	a.count++
	id = "s-" + strconv.Itoa(a.count)
	a.suggestions.add(id, &answer{record: record, feedback: &dialogflowpb.AnswerFeedback{}})
	return id, true
}

// memory is a map that forgets its oldest entries.
type memory[K comparable, V any] struct {
	values map[K]V
	order  []K // ring of keys once it is full
	next   int
}

func newMemory[K comparable, V any]() memory[K, V] { return memory[K, V]{values: make(map[K]V)} }

// add stores a value; it returns false when there is one for the key.
func (m *memory[K, V]) add(k K, v V) bool {
	if _, ok := m.values[k]; ok {
		return false
	}
	m.values[k] = v
	if len(m.order) < maxRemembered {
		m.order = append(m.order, k)
		return true
	}
	delete(m.values, m.order[m.next])
	m.order[m.next] = k
	m.next = (m.next + 1) % maxRemembered
	return true
}
